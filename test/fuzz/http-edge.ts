/**
 * Target `http`: bytes as callers might send them, to the gateway and to a bare server of Node's. What reaches a function
 * must be what Node's parser makes of the same bytes, request by request: line, headers, body, and where each ends. The
 * gateway may refuse what Node takes; it may never take what Node refuses, or read it differently (hostile cases 27, 30).
 */
import http from 'node:http';
import net from 'node:net';
import fc from 'fast-check';
import { expect } from 'vitest';
import { encodeRequestHead } from '../../src/kernel/frame-heads.ts';
import type { FakeCall } from '../../src/invoke/testing/fake-sandboxes.ts';
import { listening } from '../../src/invoke/testing/bench-host.ts';
import type { Exchange } from '../../src/runtime/exchange.ts';
import { createNodeRequest } from '../../src/runtime/forms/node-request.ts';
import type { NodeSocket } from '../../src/runtime/forms/node-socket.ts';
import { decodeHead } from '../../src/runtime/request-head.ts';
import { startWorld } from '../integration/gateway-world.ts';
import { checkInputs, corpusOf, type FuzzTarget } from './fuzz-target.ts';

const DEADLINE_MS = 5_000;
const MAX_HEADER_BYTES = 64 * 1024;

/** One request as a reader understood it. */
interface Understood {
  readonly method: string;
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  /** null: it did not come to an end */
  body: string | null;
}

// --- what is sent

const end = fc.oneof(
  { weight: 30, arbitrary: fc.constant('\r\n') },
  { weight: 1, arbitrary: fc.constantFrom('\n', '\r', '\n\r', '\r\r\n', ' \r\n') },
);
const method = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('GET', 'POST', 'PUT', 'HEAD', 'DELETE') },
  { weight: 1, arbitrary: fc.constantFrom('get', 'OPTIONS', 'TRACE', 'M-SEARCH', 'PRI', 'GE T') },
);
const target = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      '/run/acme/hello',
      '/run/acme/hello/a/b?c=d',
      '/run/globex/hello?x',
      '/run/acme/hello/',
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '/run/acme/hello/..%2f',
      '/run/acme/%68ello',
      '/run//acme/hello',
      '/run/acme/hello/../../globex/hello',
      '/run/acme/hello#x',
      '//run/acme/hello',
      'http://a.test/run/acme/hello',
      '/run/acme/hello?a b',
      '/run/acme/hello/%00',
      '/run/acme/hello/%',
      '*',
      '',
      '/run/acme/h\xe9llo',
      '/run/acme/hello\\x',
    ),
  },
);
const framing = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('', 'Content-Length: 5', 'Transfer-Encoding: chunked') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'Content-Length: +5',
      'Content-Length: 5, 5',
      'Content-Length: 05',
      'Content-Length: 0x5',
      'Content-Length : 5',
      'Content-Length: 5 ',
      'Content-Length:5',
      'Transfer-Encoding: Chunked',
      'Transfer-Encoding: chunked, chunked',
      'Transfer-Encoding: gzip, chunked',
      'Transfer-Encoding: chunked;q=1',
      'Transfer-Encoding:\tchunked',
      'Transfer-Encoding : chunked',
      'transfer-encoding: identity',
      'Transfer-Encoding: \x0bchunked',
      'Content-Length: 5\r\nContent-Length: 5',
      'Content-Length: 5\r\nTransfer-Encoding: chunked',
      'X: y\r\n Content-Length: 5',
      'Content-Length: 18446744073709551621',
    ),
  },
);
const other = fc.oneof(
  fc.constantFrom(
    'Connection: keep-alive',
    'Connection: close',
    'Connection: content-length',
    'Connection: host, x-a',
    'Cookie: a=b',
    'Cookie: c=d',
    'X-A: 1',
    'x-a: 2',
  ),
  fc.constantFrom(
    'Expect: 100-continue',
    'Upgrade: h2c',
    'X-Berth-Hops: 1',
    'x-wt-params: e30=',
    'Trailer: x',
    'TE: trailers',
    'Authorization: Bearer x',
    'Host: b.test',
  ),
  fc
    .tuple(
      fc.string({ unit: 'binary-ascii', maxLength: 6 }),
      fc.string({ unit: 'binary-ascii', maxLength: 6 }),
    )
    .map(([name, value]) => `${name}: ${value}`),
);
const body = fc.oneof(
  fc.constantFrom('', 'abcde', 'abcdefgh', 'abc'),
  fc.constantFrom(
    '5\r\nabcde\r\n0\r\n\r\n',
    '0\r\n\r\n',
    '2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nT: x\r\n\r\n',
    '5\r\nabcdefg\r\n0\r\n\r\n',
  ),
  fc.constantFrom(
    '5\nabcde\n0\n\n',
    '-1\r\n\r\n',
    'g\r\n',
    '05\r\nabcde\r\n0\r\n\r\n',
    '5 \r\nabcde\r\n0\r\n\r\n',
    '0x5\r\nabcde\r\n0\r\n\r\n',
    'ffffffffffffffff1\r\na',
  ),
);
const request = fc
  .record({
    line: fc.tuple(
      method,
      target,
      fc.oneof(
        { weight: 12, arbitrary: fc.constant('HTTP/1.1') },
        {
          weight: 1,
          arbitrary: fc.constantFrom('HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'http/1.1', 'HTTP/1.1 '),
        },
      ),
    ),
    host: fc.oneof(
      { weight: 12, arbitrary: fc.constant('Host: a.test') },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          '',
          'Host:',
          'Host: a b',
          'Host: globex.berth.test',
          'host: a.test:80',
          'Host: a@b',
        ),
      },
    ),
    framing,
    others: fc.array(other, { maxLength: 3 }),
    end,
    body,
  })
  .map(({ line, host, framing, others, end, body }) => {
    const lines = [line.join(' '), host, framing, ...others].filter((text) => text !== '');
    return `${lines.join(end)}${end}${end}${body}`;
  });
const mutation = fc.tuple(
  fc.nat(),
  fc.constantFrom('insert', 'replace', 'remove'),
  fc.constantFrom('\r', '\n', '\0', ' ', ':', ',', '0', 'a', '\t', '\x7f', '\xff'),
);
const inputs = fc
  .tuple(fc.array(request, { minLength: 1, maxLength: 3 }), fc.array(mutation, { maxLength: 2 }))
  .map(([requests, mutations]) => mutations.reduce(mutated, requests.join('')));

function mutated(text: string, [at, how, character]: [number, string, string]): string {
  const index = at % (text.length + 1);
  return (
    text.slice(0, index) +
    (how === 'remove' ? '' : character) +
    text.slice(how === 'insert' ? index : index + 1)
  );
}

// --- who reads it

interface Reader extends AsyncDisposable {
  /** @returns what it understood, in order */
  read(bytes: string): Promise<readonly Understood[]>;
}

async function bareNode(): Promise<Reader> {
  let understood: Understood[] = [];
  const server = http.createServer({ maxHeaderSize: MAX_HEADER_BYTES });
  server.maxHeadersCount = 0;
  const take = (message: http.IncomingMessage, response: http.ServerResponse): void => {
    const seen: Understood = {
      method: message.method!,
      url: message.url!,
      headers: message.headers,
      body: null,
    };
    understood.push(seen);
    let text = '';
    message.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
    message
      .on('error', () => undefined)
      .on('end', () => {
        seen.body = text;
        response.end();
      });
  };
  server.on('request', take).on('checkContinue', take);
  const { port, [Symbol.asyncDispose]: dispose } = await listening(server);
  return {
    async read(bytes) {
      understood = [];
      await send(port, bytes);
      return understood;
    },
    [Symbol.asyncDispose]: dispose,
  };
}

async function gateway(): Promise<Reader> {
  const world = await startWorld((call) => {
    call.onBody = (_chunk, isEnd) => {
      if (isEnd) call.answer('');
    };
    if (call.isRequestEnded) call.answer('');
  });
  return {
    async read(bytes) {
      world.sandboxes.calls.length = 0;
      await send(world.port, bytes);
      return world.sandboxes.calls.map(understoodInside);
    },
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

/** As the runtime makes it into a request for the function. */
function understoodInside(call: FakeCall): Understood {
  const { head } = decodeHead(encodeRequestHead(call.head));
  const exchange = { head, body: { isFinished: true } } as unknown as Exchange;
  const { method, url, headers } = createNodeRequest(exchange, {} as NodeSocket);
  const received = Buffer.concat(call.received).toString('latin1');
  return { method: method!, url: head.basePath + url!, headers, body: call.isRequestEnded ? received : null };
}

/** Sends, says that nothing more comes, and waits until the other side has closed. */
function send(port: number, bytes: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.end(bytes, 'latin1'));
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error('the connection was not closed'));
    }, DEADLINE_MS);
    socket.on('error', () => undefined).resume();
    socket.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

// --- what must hold

/** Of the connection, of the platform, or said anew by the gateway: a function does not get these as they came. */
const CHANGED =
  /^(?:connection|keep-alive|proxy-|te$|trailer|transfer-encoding|upgrade|expect|x-berth-|x-wt-params|x-forwarded-|forwarded|x-real-ip|traceparent|http2-settings)/;

function comparable({ headers }: Understood, dropped: ReadonlySet<string>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !CHANGED.test(name) && !dropped.has(name)),
  );
}

/** `/run/acme/hello?x` is `/?x` to the function, and `/run/acme/hello` is `/`. */
function isSameUrl(own: string, reference: string): boolean {
  return own === reference || own.replace(/\/(?=\?|$)/, '') === reference;
}

function isSame(own: Understood, reference: Understood): boolean {
  const connection = String(reference.headers.connection ?? '')
    .toLowerCase()
    .split(',');
  const dropped = new Set(
    connection.map((name) => name.trim()).filter((name) => name !== 'host' && name !== 'content-length'),
  );
  return (
    own.method === reference.method &&
    isSameUrl(own.url, reference.url) &&
    (own.body === null || own.body === reference.body) &&
    JSON.stringify(comparable(own, dropped)) === JSON.stringify(comparable(reference, dropped))
  );
}

export async function openHttpEdge(): Promise<FuzzTarget> {
  const [own, reference] = [await gateway(), await bareNode()];
  const holds = async (bytes: string): Promise<void> => {
    const [seen, meant] = await Promise.all([own.read(bytes), reference.read(bytes)]);
    // In order, each one of Node's own; those in between were refused.
    let at = 0;
    for (const one of seen) {
      const found = meant.findIndex((other, index) => index >= at && isSame(one, other));
      if (found === -1) expect({ bytes, seen: one }).toEqual({ bytes, meant: meant.slice(at) });
      at = found + 1;
    }
  };
  return {
    name: 'http',
    check: (parameters) => checkInputs(inputs, corpusOf('http'), holds, parameters),
    async [Symbol.asyncDispose]() {
      await own[Symbol.asyncDispose]();
      await reference[Symbol.asyncDispose]();
    },
  };
}
