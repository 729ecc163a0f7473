/** WebSocket through the gateway: the function's 101, then bytes both ways under credit. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket, type RawData } from 'ws';
import { createHash } from 'node:crypto';
import { BerthError } from '../../src/contracts/errors.ts';
import { sendRaw, until } from '../../src/invoke/testing/bench-host.ts';
import type { FakeCall } from '../../src/invoke/testing/fake-sandboxes.ts';
import { startWorld, type World, type WorldOptions } from './gateway-world.ts';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
let world: World;
let play: (call: FakeCall) => void;

/** RFC 6455, 1.3 */
function accept(call: FakeCall): void {
  const digest = createHash('sha1')
    .update(call.header('sec-websocket-key')[0]! + GUID)
    .digest('base64');
  call.respond(
    {
      status: 101,
      headers: ['Sec-WebSocket-Accept', digest, 'Connection', 'Upgrade', 'Upgrade', 'websocket'],
    },
    '',
    false,
  );
}

/** Frames come back as they are, unmasked: enough of a WebSocket server for small messages. */
function echo(call: FakeCall): void {
  accept(call);
  call.onBody = (chunk, isEnd) => {
    if (isEnd) {
      call.data('', true);
      return call.done();
    }
    const length = chunk[1]! & 0x7f;
    const mask = chunk.subarray(2, 6);
    const payload = Buffer.from(chunk.subarray(6, 6 + length).map((byte, index) => byte ^ mask[index % 4]!));
    call.data(Buffer.concat([Buffer.from([chunk[0]!, length]), payload]));
  };
}

async function start(options: WorldOptions = {}): Promise<void> {
  world = await startWorld((call) => play(call), options);
}

beforeEach(() => {
  play = echo;
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
  await until(() => world.invoker.inFlight === 0);
});

const open = (path: string, headers: Record<string, string> = {}): WebSocket =>
  new WebSocket(`ws://127.0.0.1:${world.port}${path}`, { headers });
const handshake = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;

describe('an upgrade', () => {
  it('passes messages both ways, and ends when the caller does', async () => {
    await start();
    const socket = open('/run/acme/hello/chat?room=1');
    await once(socket, 'open');
    for (const text of ['one', 'two']) {
      socket.send(text);
      expect(String(((await once(socket, 'message')) as [RawData])[0])).toBe(text);
    }
    const [call] = world.sandboxes.calls;
    expect(call!.head.url).toBe('/chat?room=1');
    expect(call!.isUpgrade).toBe(true);
    socket.terminate();
    await until(() => call!.cancelledFor === 'client-gone' || call!.isRequestEnded);
  });

  it('ends when the function does', async () => {
    play = (call) => {
      accept(call);
      setTimeout(() => {
        call.data('', true);
        call.done();
      }, 20);
    };
    await start();
    const socket = open('/run/acme/hello');
    await once(socket, 'close');
    expect(world.invoker.inFlight).toBe(0);
  });

  it('is broken off when the function fails', async () => {
    play = (call) => {
      accept(call);
      setTimeout(() => call.fail(new BerthError('MEMORY_LIMIT', { limit: 1 })), 20);
    };
    await start();
    const socket = open('/run/acme/hello');
    socket.on('error', () => undefined);
    await once(socket, 'close');
  });

  it('that nothing passes through ends after wallMs', async () => {
    await start({ limits: { wallMs: 300 } });
    const socket = open('/run/acme/hello');
    socket.on('error', () => undefined);
    await once(socket, 'close');
    expect(world.sandboxes.calls[0]!.cancelledFor).toBe('timeout');
  });

  it('holds back what the caller does not read, and what the function does not read', async () => {
    const piece = Buffer.alloc(64 * 1024);
    let sent = 0;
    play = (call) => {
      accept(call);
      call.readsBody = false;
      const pump = (): void => {
        while (call.credit >= piece.length) {
          sent += piece.length;
          call.data(piece);
        }
      };
      call.onCredit = pump;
      pump();
    };
    await start({ limits: { wallMs: 500 } });
    await sendRaw(world.port, handshake('/run/acme/hello'), () => sent > 0);
    await until(() => world.invoker.inFlight === 0);
    expect(sent).toBeLessThan(64 * 1024 * 1024);
  });

  it('that the function answers otherwise is an ordinary response, the last of the connection', async () => {
    play = (call) => call.answer('no', ['content-type', 'text/plain'], 403);
    await start();
    const { text } = await sendRaw(world.port, handshake('/run/acme/hello'));
    expect(text).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
    expect(text).toMatch(/connection: close/i);
    expect(text).toMatch(/\r\n\r\nno$/);
  });

  it('that came to nothing leaves no connection, though the caller does not end its side', async () => {
    play = (call) => call.answer('no', [], 403);
    await start();
    const caller = connect({ port: world.port, host: '127.0.0.1', allowHalfOpen: true });
    caller.write(handshake('/run/acme/hello'));
    caller.resume();
    await once(caller, 'end');
    await expect
      .poll(
        () =>
          new Promise((resolve) => {
            world.server.getConnections((_error, count) => resolve(count));
          }),
      )
      .toBe(0);
    caller.destroy();
  });

  it('that fails is a problem document', async () => {
    play = (call) => call.fail(new BerthError('FUNCTION_CRASHED', { reason: 'it left' }));
    await start();
    const { text } = await sendRaw(world.port, handshake('/run/acme/hello'));
    expect(text).toMatch(/^HTTP\/1\.1 502 /);
    expect(text).toContain('"code":"FUNCTION_CRASHED"');
    expect(text).not.toContain('[still open]');
  });

  it('needs a token where the function does', async () => {
    await start();
    expect((await sendRaw(world.port, handshake('/run/acme/private'))).text).toMatch(/^HTTP\/1\.1 401 /);
    expect(world.sandboxes.calls).toHaveLength(0);
    for (const token of ['acme:run', 'slow-acme:run']) {
      const socket = open('/run/acme/private', { authorization: `Bearer ${token}` });
      await once(socket, 'open');
      socket.terminate();
    }
  });

  it('reaches nothing but functions', async () => {
    await start();
    for (const path of ['/v1/tenants', '/', '/run/acme/missing'])
      expect((await sendRaw(world.port, handshake(path))).text).toMatch(/^HTTP\/1\.1 404 /);
    expect((await sendRaw(world.port, handshake('/run/acme/../x'))).text).toMatch(/^HTTP\/1\.1 400 /);
  });

  it('to anything but WebSocket is ignored, as HTTP allows', async () => {
    play = (call) => call.answer('plain');
    await start();
    const h2c =
      'GET /run/acme/hello HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n\r\n';
    const { text } = await sendRaw(world.port, h2c);
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(world.sandboxes.calls[0]!.isUpgrade).toBe(false);
  });
});
