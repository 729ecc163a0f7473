/** Exchanges over a real HTTP server on loopback; the sandbox is played by the test. Time belongs to the test where it matters. */
import { createHash } from 'node:crypto';
import http from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BerthError } from '../contracts/errors.ts';
import { type LimitOverrides } from '../contracts/limits.ts';
import { FakeClock } from '../kernel/testing/fake-clock.ts';
import type { ExchangeOptions, Invoker } from './invoker.ts';
import type { InvokerOptions } from './http-invoker.ts';
import {
  FakeDirectory,
  fakeInvoker,
  listening,
  sendRaw,
  type TestServer,
  until,
} from './testing/bench-host.ts';
import { type FakeCall, FakeSandboxes } from './testing/fake-sandboxes.ts';

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

let play: (call: FakeCall) => void;
let sandboxes: FakeSandboxes;
let invoker: Invoker;
let host: TestServer;
let failures: { code: string; times: number }[];
let ended: { status: number; error: string | null; isClientGone: boolean; bytes: [number, number] }[];

async function serve(
  limits: LimitOverrides = {},
  more: Partial<InvokerOptions> & { readonly exchange?: Partial<ExchangeOptions> } = {},
): Promise<void> {
  const directory = new FakeDirectory();
  directory.addTenant('acme', limits);
  const runnable = directory.addFunction('acme', 'hello');
  sandboxes = new FakeSandboxes((call) => play(call));
  invoker = fakeInvoker(sandboxes, {
    hooks: {
      onFailure: ({ error, times }) => failures.push({ code: error.code, times }),
      onEnd: ({ status, error, isClientGone, requestBytes, responseBytes }) =>
        ended.push({
          status,
          error: error?.code ?? null,
          isClientGone,
          bytes: [requestBytes, responseBytes],
        }),
    },
    ...more,
  });
  host = await listening(
    http.createServer((request, response) =>
      invoker.exchange(runnable, request, response, {
        url: request.url!,
        basePath: '/base',
        ...more.exchange,
      }),
    ),
  );
}

beforeEach(() => {
  failures = [];
  ended = [];
  play = (call) => call.answer('hello');
});

afterEach(async () => {
  await host[Symbol.asyncDispose]();
  await until(() => invoker.inFlight === 0);
});

const get = (path = '/'): string => `GET ${path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`;

describe('an exchange', () => {
  it('passes a request to the function and its response back', async () => {
    play = (call) =>
      call.respond({ status: 201, headers: ['X-Own', 'yes'] }, `${call.head.method} ${call.head.url}`);
    await serve();
    const response = await fetch(`${host.url}/a/b?c=d`, { method: 'DELETE' });
    expect([response.status, await response.text()]).toEqual([201, 'DELETE /a/b?c=d']);
    expect(response.headers.get('x-own')).toBe('yes');
    expect(response.headers.get('content-length')).toBe('15');
    const [call] = sandboxes.calls;
    expect(response.headers.get('x-berth-invocation')).toBe(call!.head.invocation);
    expect(call!.head).toMatchObject({ basePath: '/base', remoteAddress: '127.0.0.1', scheme: 'http' });
    expect(invoker.inFlight).toBe(1);
    call!.done();
    expect(ended).toEqual([{ status: 201, error: null, isClientGone: false, bytes: [0, 15] }]);
  });

  it('sends bodies of known and unknown length, whole', async () => {
    play = (call) => {
      const chunks: Buffer[] = [];
      call.onBody = (chunk, isEnd) => {
        chunks.push(chunk);
        if (isEnd) call.answer(sha(Buffer.concat(chunks)));
      };
    };
    await serve();
    const body = 'x'.repeat(700_000);
    expect(await (await fetch(host.url, { method: 'POST', body })).text()).toBe(sha(Buffer.from(body)));
    const chunked = new Blob([body]).stream();
    const response = await fetch(host.url, { method: 'POST', body: chunked, duplex: 'half' } as RequestInit);
    expect(await response.text()).toBe(sha(Buffer.from(body)));
    expect(sandboxes.calls.map((call) => call.receivedBytes)).toEqual([700_000, 700_000]);
  });

  it('sends a response piece by piece as it comes', async () => {
    play = (call) => call.respond({ status: 200, headers: ['content-type', 'text/event-stream'] }, '', false);
    await serve();
    const response = await fetch(host.url);
    const reader = response.body!.getReader();
    for (const text of ['data: 1\n\n', 'data: 2\n\n']) {
      sandboxes.calls[0]!.data(text);
      expect(Buffer.from((await reader.read()).value!).toString()).toBe(text);
    }
    sandboxes.calls[0]!.data('', true);
    expect((await reader.read()).done).toBe(true);
    sandboxes.calls[0]!.done();
  });

  it('changes no byte, in one piece or in many', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, value) => value));
    play = (call) => {
      if (call.head.url === '/whole') call.respond({ status: 200, headers: [] }, bytes);
      else {
        call.respond({ status: 200, headers: [] }, bytes, false);
        call.data(bytes, true);
      }
      call.done();
    };
    await serve();
    const get = async (path: string): Promise<Buffer> =>
      Buffer.from(await (await fetch(host.url + path)).arrayBuffer());
    expect(await get('/whole')).toEqual(bytes);
    expect(await get('/pieces')).toEqual(Buffer.concat([bytes, bytes]));
  });

  it('waits for a sandbox where none is free, and gives the place back when the caller has left', async () => {
    await serve();
    sandboxes.isWarm = false;
    expect(await (await fetch(host.url)).text()).toBe('hello');
    sandboxes.acquired = () => new Promise(() => undefined);
    const leaving = new AbortController();
    const gone = fetch(host.url, { signal: leaving.signal }).catch(() => 'gone');
    await until(() => invoker.inFlight === 1);
    leaving.abort();
    expect(await gone).toBe('gone');
    await until(() => sandboxes.aborted === 1 && invoker.inFlight === 0);
    expect(sandboxes.calls).toHaveLength(1);
  });

  it('tells the function when the caller leaves', async () => {
    play = (call) => call.respond({ status: 200, headers: [] }, 'begin', false);
    await serve();
    const leaving = new AbortController();
    const response = await fetch(host.url, { signal: leaving.signal });
    leaving.abort();
    await until(() => sandboxes.calls[0]!.cancelledFor === 'client-gone');
    await until(() => ended.length === 1);
    expect(response.status).toBe(200);
    expect(ended[0]).toMatchObject({ isClientGone: true });
    expect(failures).toEqual([]);
  });

  it('lets a function go on after its response', async () => {
    play = (call) => call.respond({ status: 200, headers: [] }, 'early');
    await serve();
    expect((await sendRaw(host.port, get())).text).toContain('early');
    expect(invoker.inFlight).toBe(1);
    expect(sandboxes.calls[0]!.cancelledFor).toBeNull();
    sandboxes.calls[0]!.done();
    expect(invoker.inFlight).toBe(0);
  });

  it('keeps the order of pipelined requests, and forgets them with their connection', async () => {
    play = (call) => setTimeout(() => call.answer(call.head.url), call.head.url === '/1' ? 30 : 1);
    await serve();
    const { text } = await sendRaw(host.port, [get('/1').replace('close', 'keep-alive'), get('/2')]);
    expect(text.indexOf('\r\n\r\n/1')).toBeGreaterThan(0);
    expect(text.indexOf('\r\n\r\n/2')).toBeGreaterThan(text.indexOf('\r\n\r\n/1'));
    play = () => undefined;
    await sendRaw(
      host.port,
      [get('/3').replace('close', 'keep-alive'), get('/4')],
      () => sandboxes.calls.length === 4,
    );
    await until(() => sandboxes.calls.every((call) => call.isOver));
    expect(sandboxes.calls.map((call) => call.cancelledFor)).toEqual([
      null,
      null,
      'client-gone',
      'client-gone',
    ]);
  });
});

describe('a failure', () => {
  it('before the response is a problem document with the code, the name of the limit and the invocation', async () => {
    play = (call) => call.fail(new BerthError('EVENT_LOOP_BLOCKED', { name: 'blockedMs', limit: 2_000 }));
    await serve();
    const response = await fetch(host.url);
    expect(response.status).toBe(504);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.json()).toMatchObject({
      code: 'EVENT_LOOP_BLOCKED',
      name: 'blockedMs',
      limit: 2_000,
      invocation: response.headers.get('x-berth-invocation'),
    });
    expect(failures).toEqual([{ code: 'EVENT_LOOP_BLOCKED', times: 1 }]);
  });

  it('in the midst of a response breaks it off', async () => {
    play = (call) => {
      call.respond({ status: 200, headers: [] }, 'half', false);
      setTimeout(() => call.fail(new BerthError('MEMORY_LIMIT', { limit: 1 })), 20);
    };
    await serve();
    const { text } = await sendRaw(host.port, get());
    expect(text).toContain('half');
    expect(text).not.toContain('0\r\n\r\n');
    const old = await sendRaw(host.port, 'GET / HTTP/1.0\r\n\r\n');
    expect(old.wasReset).toBe(true);
  });

  it('has the shape that the face wants', async () => {
    play = (call) => call.fail(new BerthError('FUNCTION_FAILED', { reason: 'x' }));
    await serve(
      {},
      {
        exchange: {
          writeError: (response, error, invocation) => {
            response.writeHead(418);
            response.end(`${error.code} ${invocation.length > 0}`);
          },
        },
      },
    );
    const response = await fetch(host.url);
    expect([response.status, await response.text()]).toEqual([418, 'FUNCTION_FAILED true']);
  });

  it('of a sandbox that could not be had is answered', async () => {
    await serve();
    sandboxes.isWarm = false;
    sandboxes.acquired = () => Promise.reject(new BerthError('QUEUE_FULL', { name: 'queue', limit: 3 }));
    const response = await fetch(host.url);
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await response.json()).toMatchObject({ code: 'QUEUE_FULL', name: 'queue', limit: 3 });
    expect(invoker.inFlight).toBe(0);
  });

  it('of the platform tells nothing about itself', async () => {
    await serve();
    sandboxes.isWarm = false;
    sandboxes.acquired = () => Promise.reject(new Error('/srv/berth/secret-path exploded'));
    const response = await fetch(host.url);
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('secret-path');
  });

  it('is a function that is done without a response', async () => {
    play = (call) => call.done();
    await serve();
    expect(await (await fetch(host.url)).json()).toMatchObject({ code: 'FUNCTION_FAILED' });
  });
});

describe('a response that is no HTTP', () => {
  it.each([
    ['a split', { status: 200, headers: ['x', 'a\r\n\r\nHTTP/1.1 200 OK'] }],
    ['an invalid status', { status: 999, headers: [] }],
    ['101 without an upgrade', { status: 101, headers: [] }],
    ['two lengths', { status: 200, headers: ['content-length', '2', 'content-length', '3'] }],
    ['a longer body than it says', { status: 200, headers: ['content-length', '2'] }],
    ['a shorter body than it says', { status: 200, headers: ['content-length', '20'] }],
    ['more headers than it may have', { status: 200, headers: ['x', 'y'.repeat(17_000)] }],
  ])('with %s is 502, and the function is stopped', async (_, head) => {
    play = (call) => call.respond(head, 'body');
    await serve();
    const { text } = await sendRaw(host.port, get());
    expect(text).toMatch(/^HTTP\/1\.1 502 Bad Gateway/);
    expect(text).toContain('RESPONSE_INVALID');
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    await until(() => invoker.inFlight === 0);
    expect(sandboxes.calls[0]!.cancelledFor).not.toBeNull();
  });

  it('because of its length is cut where it goes wrong', async () => {
    const wrong = [
      ['12345', '67890X'],
      ['12345', '6789'],
    ];
    play = (call) => {
      const [first, second] = wrong[sandboxes.calls.length - 1]!;
      call.respond({ status: 200, headers: ['content-length', '10'] }, first!, false);
      setImmediate(() => call.data(second!, true));
    };
    await serve();
    for (const _ of wrong) {
      const { text } = await sendRaw(host.port, get().replace('close', 'keep-alive'));
      expect(text.split('\r\n\r\n')[1]!.length).toBeLessThan(10);
    }
    expect(failures.map(({ code }) => code)).toEqual(['RESPONSE_INVALID', 'RESPONSE_INVALID']);
  });

  it.each([
    ['HEAD', 200, 'content-length: 4'],
    ['GET', 304, ''],
    ['GET', 204, ''],
    ['GET', 205, 'content-length: 0'],
  ])('a %s with %i has no body, whatever the function sends', async (method, status, length) => {
    play = (call) => {
      call.respond({ status, headers: method === 'HEAD' ? ['Content-Length', '4'] : [] }, 'body', false);
      call.data('more', true);
      call.done();
    };
    await serve();
    const { text } = await sendRaw(host.port, get().replace('GET', method));
    expect(text).toMatch(/\r\n\r\n$/);
    expect(text).toContain(length);
    expect(text).not.toContain('chunked');
  });
});

describe('a limit', () => {
  it('of headers, of a declared body and of a growing body is kept', async () => {
    play = () => undefined;
    await serve({ requestHeaderBytes: 1_024, requestBodyBytes: 1_000 });
    const problem = async (init: RequestInit): Promise<unknown> => {
      const response = await fetch(host.url, init);
      const { code, name } = (await response.json()) as { code: string; name: string };
      return [response.status, code, name];
    };
    expect(await problem({ headers: { big: 'x'.repeat(1_100) } })).toEqual([
      431,
      'HEADERS_TOO_LARGE',
      'requestHeaderBytes',
    ]);
    expect(await problem({ method: 'POST', body: 'x'.repeat(1_001) })).toEqual([
      413,
      'BODY_TOO_LARGE',
      'requestBodyBytes',
    ]);
    expect(sandboxes.calls).toHaveLength(0);
    const body = new Blob(['x'.repeat(1_001)]).stream();
    expect(await problem({ method: 'POST', body, duplex: 'half' } as RequestInit)).toEqual([
      413,
      'BODY_TOO_LARGE',
      'requestBodyBytes',
    ]);
    expect(sandboxes.calls[0]!.cancelledFor).not.toBeNull();
  });

  it('of concurrency holds until the invocation is over, and is told once a second', async () => {
    play = (call) => call.respond({ status: 200, headers: [] }, 'slow', false);
    await serve({ concurrency: 1 }, { clock: new FakeClock() });
    const first = await fetch(host.url);
    for (let time = 0; time < 3; time++) {
      const refused = await fetch(host.url);
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
      expect(await refused.json()).toMatchObject({
        code: 'CONCURRENCY_LIMIT',
        name: 'concurrency',
        limit: 1,
      });
    }
    expect(failures).toEqual([{ code: 'CONCURRENCY_LIMIT', times: 1 }]);
    sandboxes.calls[0]!.data('', true);
    await first.text();
    expect((await fetch(host.url)).status).toBe(503);
    sandboxes.calls[0]!.done();
    play = (call) => call.answer('free');
    expect((await fetch(host.url)).status).toBe(200);
  });
});
