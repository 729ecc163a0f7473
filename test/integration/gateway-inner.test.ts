/** A tenant's functions call each other by way of the gateway: connections that never leave the process. */
import { IncomingMessage, request as httpRequest, type RequestOptions, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import type { FunctionName, TenantId } from '../../src/contracts/ids.ts';
import { createInnerFace, type InnerFace } from '../../src/gateway/inner-face.ts';
import { memoryConnection } from '../../src/gateway/memory-connection.ts';
import { breakOff } from '../../src/invoke/problem.ts';
import { FakeDirectory, fakeInvoker } from '../../src/invoke/testing/bench-host.ts';
import { FakeSandboxes } from '../../src/invoke/testing/fake-sandboxes.ts';
import { FakeClock } from '../../src/kernel/testing/fake-clock.ts';

let sandboxes: FakeSandboxes;
let inner: InnerFace;
let clock: FakeClock;

beforeEach(() => {
  const directory = new FakeDirectory();
  directory.addTenant('acme');
  directory.addTenant('globex');
  directory.addTenant('closed', {}, 'suspended');
  directory.addFunction('acme', 'hello');
  directory.addFunction('acme', 'private', 'token');
  directory.addFunction('globex', 'theirs');
  directory.addFunction('closed', 'hello');
  sandboxes = new FakeSandboxes((call) => {
    call.onBody = (_chunk, isEnd) => {
      if (isEnd) call.answer(`got ${call.receivedBytes}`);
    };
    if (call.isRequestEnded) call.answer(`${call.head.method} ${call.head.url}`);
  });
  clock = new FakeClock();
  inner = createInnerFace({ directory, invoker: fakeInvoker(sandboxes), clock });
});

function connection(fn = 'hello', { tenant = 'acme', hops = 1 } = {}): Duplex | null {
  return inner.connect({ tenant: tenant as TenantId, fn: fn as FunctionName, hops });
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly response: IncomingMessage;
}

async function ask(
  duplex: Duplex | null,
  options: RequestOptions & { readonly body?: Buffer } = {},
): Promise<Answer> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    httpRequest({ ...options, host: 'hello.berth.internal', createConnection: () => duplex as never })
      .once('response', resolve)
      .once('error', reject)
      .end(options.body);
  });
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode!, text, response };
}

describe('an inner request', () => {
  it('reaches the function with its path, its headers and its hops', async () => {
    const answer = await ask(connection('hello', { hops: 3 }), {
      path: '/a/b?c',
      headers: { 'x-own': '1', 'x-berth-hops': '0', 'x-forwarded-for': '6.6.6.6' },
    });
    expect([answer.status, answer.text]).toEqual([200, 'GET /a/b?c']);
    const [call] = sandboxes.calls;
    expect([call!.hops, call!.head.basePath, call!.head.remoteAddress]).toEqual([3, '', '127.0.0.1']);
    expect([call!.header('x-own'), call!.header('x-berth-hops'), call!.header('x-forwarded-for')]).toEqual([
      ['1'],
      [],
      ['127.0.0.1'],
    ]);
  });

  it('streams large bodies whole', async () => {
    const answer = await ask(connection(), { method: 'POST', body: Buffer.alloc(5_000_000, 'x') });
    expect(answer.text).toBe('got 5000000');
  });

  it('needs no token for a private function of its own tenant', async () => {
    expect((await ask(connection('private'))).status).toBe(200);
  });

  it('has its connection for itself: the next one is counted anew', async () => {
    const answer = await ask(connection());
    expect(answer.response.headers.connection).toBe('close');
  });

  it('finds functions of its own tenant only', () => {
    expect(connection('theirs')).toBeNull();
    expect(connection('gone')).toBeNull();
  });

  it('32: is refused after eight hops', async () => {
    expect((await ask(connection('hello', { hops: 8 }))).status).toBe(200);
    const refused = await ask(connection('hello', { hops: 9 }));
    expect(refused.status).toBe(508);
    expect(JSON.parse(refused.text)).toMatchObject({ code: 'LOOP_DETECTED', hops: 9 });
  });

  it('is refused for a suspended tenant, and when it is ambiguous', async () => {
    expect((await ask(connection('hello', { tenant: 'closed' }))).status).toBe(403);
    expect((await ask(connection(), { path: '/a/../b' })).status).toBe(400);
    const raw = connection()!;
    raw.write('GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n');
    let text = '';
    for await (const chunk of raw) text += String(chunk);
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
  });

  const CHUNKED = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
  const LARGE = `10000\r\n${'x'.repeat(0x1_0000)}\r\n`;
  it.each([
    ['at once', 'no HTTP\r\n\r\n', ''],
    ['in its body', `${CHUNKED}ZZ\r\n`, ''],
    ['behind more than is read', `${CHUNKED}${LARGE.repeat(20)}`, 'ZZ\r\n\r\n'],
  ])('that is no HTTP, %s, is answered with 400 and its connection closed', async (_when, text, rest) => {
    const raw = connection()!;
    let heard = '';
    raw.on('error', () => undefined).on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')));
    const closed = new Promise((resolve) => raw.once('close', resolve));
    for (const piece of [text, rest]) if (piece !== '') raw.write(piece, 'latin1');
    raw.once('end', () => raw.end());
    await closed;
    expect(heard).toMatch(/^HTTP\/1\.1 400 [^]*BAD_REQUEST/);
  });

  it('is answered 408 when its head has begun and does not come, and not while a body is slow', async () => {
    const slow = connection()!.resume();
    slow.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n');
    const silent = connection()!.resume();
    const dripping = connection()!;
    dripping.write('GET / HTTP/1.1\r\nHost: a\r\n');
    for (let second = 0; second < 20; second++) {
      await clock.advance(1_000);
      dripping.write('x: y\r\n');
    }
    let text = '';
    for await (const chunk of dripping) text += String(chunk);
    expect(text).toMatch(/^HTTP\/1\.1 408 /);
    expect([slow.destroyed, silent.destroyed, sandboxes.calls.length]).toEqual([false, false, 1]);
  });

  it('upgrades', async () => {
    const duplex = connection()!;
    duplex.write(
      'GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n',
    );
    await expect.poll(() => sandboxes.calls.length).toBe(1);
    expect(sandboxes.calls[0]!.isUpgrade).toBe(true);
    duplex.destroy();
  });
});

describe('a connection in memory', () => {
  it('copies what is written, so that its memory may be used anew', async () => {
    const [one, other] = memoryConnection();
    const bytes = Buffer.from('hello');
    one.write(bytes, () => bytes.fill(0));
    one.end();
    let text = '';
    for await (const chunk of other) text += String(chunk);
    expect(text).toBe('hello');
  });

  it('holds the writer back until the reader reads', async () => {
    const [one, other] = memoryConnection();
    let written = 0;
    for (let n = 0; n < 10; n++) one.write(Buffer.alloc(64 * 1024), () => (written += 1));
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
    expect(written).toBeLessThan(3);
    other.resume();
    await expect.poll(() => written).toBe(10);
  });

  it('ends in good order, or as a reset', async () => {
    const [one, other] = memoryConnection();
    other.resume();
    one.resume().end('x');
    other.end('y');
    await Promise.all([one, other].map((end) => new Promise((resolve) => end.once('close', resolve))));
    const [broken, left] = memoryConnection();
    const failed = new Promise((resolve) => left.once('error', resolve));
    broken.destroy();
    expect(await failed).toMatchObject({ code: 'ECONNRESET' });
  });

  it('can be reset, as a response of HTTP/1.0 is that breaks off', async () => {
    const response = new ServerResponse(new IncomingMessage(new Socket()));
    const [one, other] = memoryConnection();
    response.req.httpVersionMinor = 0;
    response.assignSocket(one as Socket);
    const failed = new Promise((resolve) => other.resume().once('error', resolve));
    response.write('half');
    breakOff(response);
    expect(await failed).toMatchObject({ code: 'ECONNRESET' });
    expect(one.destroyed).toBe(true);
  });

  it('is read to its end, though the other side is gone by then', async () => {
    const [one, other] = memoryConnection();
    one.end('last words', () => one.destroy());
    await new Promise((resolve) => one.once('close', resolve));
    let text = '';
    for await (const chunk of other) text += String(chunk);
    expect(text).toBe('last words');
  });
});
