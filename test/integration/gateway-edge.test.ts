/** Hostile cases 27, 29, 30, 32 and 33 at the gateway: what is no HTTP or can be read in two ways never reaches a function. */
import net from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sendRaw, until } from '../../src/invoke/testing/bench-host.ts';
import { startWorld, type World } from './gateway-world.ts';

let world: World;

beforeAll(async () => {
  world = await startWorld(
    (call) => {
      call.onBody = (_chunk, isEnd) => {
        if (isEnd) call.answer(`got ${call.receivedBytes}`);
      };
      if (call.isRequestEnded) call.answer(`${call.head.method} ${call.head.url}`);
    },
    {
      config: { headersMs: 1_000 },
    },
  );
});
beforeEach(() => {
  world.sandboxes.calls.length = 0;
});
afterAll(() => world[Symbol.asyncDispose]());

const HOST = 'Host: a.test\r\n';
const post = (headers: string, body: string): string =>
  `POST /run/acme/hello HTTP/1.1\r\n${HOST}${headers}\r\n${body}`;
const smuggled = 'GET /run/globex/hello HTTP/1.1\r\nHost: a.test\r\n\r\n';

describe('27: framing that two parsers could read differently', () => {
  it.each([
    ['two lengths', post('Content-Length: 5\r\nContent-Length: 6\r\n', 'abcdef')],
    ['the same length twice', post('Content-Length: 5\r\nContent-Length: 5\r\n', 'abcde')],
    ['a list of lengths', post('Content-Length: 5, 5\r\n', 'abcde')],
    ['a length and chunks', post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n')],
    ['chunks and a length', post('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', '0\r\n\r\n')],
    ['chunked twice', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', '0\r\n\r\n')],
    ['chunked that is not last', post('Transfer-Encoding: chunked, gzip\r\n', '0\r\n\r\n')],
    ['a signed length', post('Content-Length: +5\r\n', 'abcde')],
    ['a negative length', post('Content-Length: -5\r\n', 'abcde')],
    ['a length in hexadecimal', post('Content-Length: 0x5\r\n', 'abcde')],
    ['a space before the colon', post('Content-Length : 5\r\n', 'abcde')],
    ['a folded header', post('X: a\r\n b\r\nContent-Length: 0\r\n', '')],
    ['a bare LF after a header', post('X: a\nContent-Length: 0\r\n', '')],
    ['bare LFs throughout', 'GET /run/acme/hello HTTP/1.1\nHost: a.test\n\n'],
    ['a bare CR in a header', post('X: a\rb\r\n', '')],
    ['NUL in a header', post('X: a\0b\r\n', '')],
    ['garbage in a chunk size', post('Transfer-Encoding: chunked\r\n', 'zz\r\nabc\r\n0\r\n\r\n')],
    ['a negative chunk size', post('Transfer-Encoding: chunked\r\n', '-1\r\nabc\r\n0\r\n\r\n')],
    ['a chunk size that overflows', post('Transfer-Encoding: chunked\r\n', 'fffffffffffffffff\r\nabc')],
    ['a chunk longer than its size', post('Transfer-Encoding: chunked\r\n', '3\r\nabcdef\r\n0\r\n\r\n')],
    ['a bare LF after a chunk size', post('Transfer-Encoding: chunked\r\n', '3\nabc\r\n0\r\n\r\n')],
    [
      'chunks in HTTP/1.0',
      `POST /run/acme/hello HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ['no host', 'GET /run/acme/hello HTTP/1.1\r\n\r\n'],
    ['two hosts', `GET /run/acme/hello HTTP/1.1\r\n${HOST}Host: b.test\r\n\r\n`],
    ['another protocol', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['an unknown method', `HACK /run/acme/hello HTTP/1.1\r\n${HOST}\r\n`],
  ])('%s: refused with 400, the connection closes, what follows is not heard', async (name, bytes) => {
    // These two are whole requests: the connection need not end, but what follows is then a request of its own.
    const isWhole = name === 'two hosts' || name === 'chunks in HTTP/1.0';
    const { text } = await sendRaw(world.port, bytes + smuggled, (heard) => isWhole && heard !== '');
    const responses = text.match(/HTTP\/1\.1 \d+/g) ?? [];
    if (isWhole) expect(responses[0]).toBe('HTTP/1.1 400');
    else {
      expect(responses).toEqual(['HTTP/1.1 400']);
      expect(text).not.toContain('[still open]');
    }
    expect(text).not.toContain('got ');
    expect(
      world.sandboxes.calls.filter((call) => call.runnable.tenant === 'acme' && call.isRequestEnded),
    ).toEqual([]);
    await until(() => world.invoker.inFlight === 0);
  });

  it('headers over the ceiling are 431, a problem document, and the end of the connection', async () => {
    const { text } = await sendRaw(world.port, `GET / HTTP/1.1\r\n${HOST}X: ${'x'.repeat(70_000)}\r\n\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 431 /);
    expect(text).toContain('"code":"HEADERS_TOO_LARGE"');
    const many = Array.from({ length: 1_001 }, (_, index) => `h${index}: v\r\n`).join('');
    expect(
      (await sendRaw(world.port, `GET / HTTP/1.1\r\n${HOST}Connection: close\r\n${many}\r\n`)).text,
    ).toMatch(/^HTTP\/1\.1 431 /);
  });

  it('a response on its way is not mixed with an error for what comes behind it', async () => {
    const own = await startWorld((call) => call.respond({ status: 200, headers: [] }, 'begin', false));
    const { text } = await sendRaw(own.port, post('Transfer-Encoding: chunked\r\n', '1\r\na\r\n'), (heard) =>
      heard.includes('begin'),
    );
    expect(text).toContain('begin');
    const socket = net.connect(own.port, '127.0.0.1');
    let heard = '';
    socket.on('data', (chunk) => (heard += chunk.toString()));
    socket.write(post('Transfer-Encoding: chunked\r\n', '1\r\na\r\n'));
    await until(() => heard.includes('begin'));
    socket.write('garbage\r\n');
    await until(() => socket.destroyed || socket.readableEnded);
    expect(heard.match(/HTTP\/1\.1/g)).toHaveLength(1);
    socket.destroy();
    await until(() => own.invoker.inFlight === 0);
    await own[Symbol.asyncDispose]();
  });
});

describe('29: slow callers', () => {
  it('a head that does not come is 408, and the connection ends', async () => {
    const { text } = await sendRaw(world.port, 'GET /run/acme/hello HTTP/1.1\r\nHost: a');
    expect(text).toMatch(/^HTTP\/1\.1 408 /);
    expect(text).not.toContain('[still open]');
  });

  it('a connection on which nothing comes ends', async () => {
    expect((await sendRaw(world.port, '')).text).not.toContain('[still open]');
  });

  it('a body for the control plane that does not come ends the connection', async () => {
    const own = await startWorld(() => undefined, {
      config: { controlBodyMs: 100 },
      gateway: { control: (request) => void request.resume() },
    });
    const { text } = await sendRaw(own.port, `POST /v1/x HTTP/1.1\r\n${HOST}Content-Length: 9\r\n\r\nabc`);
    expect(text).toBe('');
    await own[Symbol.asyncDispose]();
  });
});

describe('30: addresses that two parsers could read differently', () => {
  it.each([
    '/run/acme/%2e%2e/globex/private',
    '/run/acme/hello/../../globex/private',
    '/run/acme%2fhello',
    '/run/acme/hello%2f..%2fprivate',
    '//run/acme/private',
    '/run//acme/private',
    '/run/acme/private%00',
    '/run/acme\\private',
    'http://a.test/run/acme/private',
    'http://globex.berth.test/private',
  ])('%s reaches nobody', async (target) => {
    const { text } = await sendRaw(world.port, `GET ${target} HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`);
    // One without a second segment names no function, whatever it decodes to.
    expect(text).toMatch(target === '/run/acme%2fhello' ? /^HTTP\/1\.1 404 / : /^HTTP\/1\.1 400 /);
    expect(world.sandboxes.calls).toEqual([]);
  });

  it('a function is asked for its token under every spelling of its name', async () => {
    for (const target of [
      '/run/acme/private',
      '/run/acme/%70rivate',
      '/run/%61cme/private/',
      '/run/acme/private//x',
      '/run/acme/private?/../hello',
    ]) {
      const { text } = await sendRaw(
        world.port,
        `GET ${target} HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`,
      );
      expect(text).toMatch(/^HTTP\/1\.1 401 /);
    }
    expect(world.sandboxes.calls).toEqual([]);
  });

  it('a foreign host is nobody’s, a tenant’s host is only that tenant’s', async () => {
    const at = async (host: string, target: string): Promise<string> =>
      (await sendRaw(world.port, `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`))
        .text;
    expect(await at('acme.berth.test', '/hello/x')).toContain('GET /x');
    expect(await at('globex.berth.test', '/run/acme/hello')).toMatch(/^HTTP\/1\.1 404 /);
    expect(await at('evil.example', '/hello')).toContain('control');
    expect(await at('acme.berth.test@evil', '/hello')).toMatch(/^HTTP\/1\.1 400 /);
  });
});

it('33: what callers say of themselves in the platform’s name is not passed on', async () => {
  const headers = {
    'x-wt-params': 'e30=',
    'x-berth-hops': '1',
    'x-forwarded-for': '6.6.6.6',
    'x-real-ip': '6.6.6.6',
    forwarded: 'for=6.6.6.6',
  };
  await fetch(`${world.url}/run/acme/hello`, { headers });
  const [call] = world.sandboxes.calls;
  expect(call!.head.headers.filter((text) => text.includes('6.6.6.6'))).toEqual([]);
  expect(call!.header('x-wt-params')).toEqual([]);
  expect(call!.header('x-berth-hops')).toEqual([]);
  expect(call!.header('x-forwarded-for')).toEqual(['127.0.0.1']);
  expect(call!.head.remoteAddress).toBe('127.0.0.1');
});
