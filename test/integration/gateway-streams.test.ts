/** Bodies in constant memory, callers that do not read, functions that do not listen (hostile cases 28, 29, 31). */
import http from 'node:http';
import net from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { until } from '../../src/invoke/testing/bench-host.ts';
import { type FakeCall } from '../../src/invoke/testing/fake-sandboxes.ts';
import { startWorld, type World, type WorldOptions } from './gateway-world.ts';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
/** Caller, gateway and what the collector has not seen yet live in this one process: a quarter of what passes is not kept. */
const BUFFERED = GiB / 4;
const piece = Buffer.alloc(64 * 1024, 'x');
let world: World;

async function start(play: (call: FakeCall) => void, options: WorldOptions = {}): Promise<void> {
  world = await startWorld((call) => {
    call.keepsBody = false;
    play(call);
  }, options);
}

afterEach(async () => {
  await world[Symbol.asyncDispose]();
  await until(() => world.invoker.inFlight === 0);
});

/** Most memory outside the heap, over what it was, while `work` goes on. */
async function mostBuffered(work: () => Promise<void>): Promise<number> {
  global.gc?.();
  const before = process.memoryUsage().rss;
  let most = 0;
  const timer = setInterval(() => (most = Math.max(most, process.memoryUsage().rss - before)), 10);
  await work().finally(() => clearInterval(timer));
  return most;
}

/** Sends bytes under the credit of the channel, as the runtime does. */
function sendAll(call: FakeCall, total: number): void {
  let left = total;
  const pump = (): void => {
    while (left > 0 && call.credit >= piece.length) {
      left -= piece.length;
      call.data(piece, left === 0);
    }
    if (left === 0 && !call.isOver) call.done();
  };
  call.onCredit = pump;
  call.respond({ status: 200, headers: [] }, '', false);
  pump();
}

/** @returns bytes of the response */
function upload(
  total: number,
  headers: http.OutgoingHttpHeaders = {},
): Promise<{ status: number; bytes: number }> {
  return new Promise((resolve, reject) => {
    const request = http.request(`${world.url}/run/acme/hello`, { method: 'POST', headers }, (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => (bytes += chunk.length));
      response.on('end', () => resolve({ status: response.statusCode!, bytes })).on('error', reject);
    });
    request.on('error', reject);
    let sent = 0;
    const pump = (): void => {
      while (sent < total) {
        sent += piece.length;
        if (!request.write(piece)) return void request.once('drain', pump);
      }
      request.end();
    };
    pump();
  });
}

it('a gigabyte goes up in constant memory', async () => {
  await start((call) => {
    call.onBody = (_chunk, isEnd) => {
      if (isEnd) call.answer('done');
    };
  });
  const most = await mostBuffered(async () => expect(await upload(GiB)).toEqual({ status: 200, bytes: 4 }));
  expect(world.sandboxes.calls[0]!.receivedBytes).toBe(GiB);
  expect(most).toBeLessThan(BUFFERED);
});

it('a gigabyte comes down in constant memory', async () => {
  await start((call) => sendAll(call, GiB));
  const most = await mostBuffered(async () => expect(await upload(0)).toEqual({ status: 200, bytes: GiB }));
  expect(most).toBeLessThan(BUFFERED);
});

it('31: a function that ignores a gigabyte and answers at once: the response arrives, nothing is kept, the place is free', async () => {
  await start((call) => {
    call.readsBody = false;
    call.answer('at once');
  });
  const most = await mostBuffered(async () => {
    const uploading = upload(GiB, { 'content-length': GiB });
    await until(() => world.sandboxes.calls.length === 1 && world.invoker.inFlight === 0);
    expect(await uploading).toEqual({ status: 200, bytes: 7 });
  });
  expect(world.sandboxes.calls[0]!.receivedBytes).toBeLessThanOrEqual(256 * 1024);
  expect(most).toBeLessThan(BUFFERED);
});

it('a body that the function does not read waits with the caller', async () => {
  await start(
    (call) => {
      call.readsBody = false;
    },
    { limits: { wallMs: 1_000 } },
  );
  const socket = net.connect(world.port, '127.0.0.1');
  socket.write(`POST /run/acme/hello HTTP/1.1\r\nHost: a\r\nContent-Length: ${GiB}\r\n\r\n`);
  let sent = 0;
  const pump = (): void => {
    while (socket.writable && socket.write(piece)) sent += piece.length;
    socket.once('drain', pump);
  };
  pump();
  await until(() => world.sandboxes.calls[0]?.receivedBytes === 256 * 1024);
  const [call] = world.sandboxes.calls;
  call!.grant(1_000);
  await until(() => call!.receivedBytes === 256 * 1024 + 1_000);
  socket.destroy();
  // What is not read does not show that the caller has left behind it: time ends it.
  await until(() => call!.cancelledFor !== null);
  expect(sent).toBeLessThan(64 * MiB);
});

it('29: a caller that never reads is cut off, and holds no sandbox', async () => {
  await start((call) => sendAll(call, GiB), { limits: { wallMs: 400 } });
  const socket = net.connect(world.port, '127.0.0.1');
  socket.pause();
  socket.write('GET /run/acme/hello HTTP/1.1\r\nHost: a\r\n\r\n');
  await until(() => world.sandboxes.calls[0]?.cancelledFor === 'timeout');
  await until(() => world.invoker.inFlight === 0);
  await new Promise<void>((resolve) => {
    world.server.getConnections((_error, count) => {
      expect(count).toBe(0);
      resolve();
    });
  });
  socket.destroy();
});

it('29: a caller that does not read the end of its response is cut off as well', async () => {
  await start((call) => sendAll(call, 4 * MiB), { limits: { wallMs: 300 } });
  const socket = net.connect({ port: world.port, host: '127.0.0.1' });
  socket.pause();
  socket.write('GET /run/acme/hello HTTP/1.1\r\nHost: a\r\n\r\n');
  await until(() => world.sandboxes.calls.length === 1 && world.invoker.inFlight === 0);
  const connections = (): Promise<number> =>
    new Promise((resolve) => {
      world.server.getConnections((_error, count) => resolve(count));
    });
  const end = Date.now() + 5_000;
  while ((await connections()) > 0 && Date.now() < end)
    await new Promise((resolve) => setTimeout(resolve, 20));
  // The kernel may have taken all of it: then the response has left, and the connection only waits for its next request.
  if ((await connections()) > 0) {
    let bytes = 0;
    socket.on('data', (chunk) => (bytes += chunk.length)).resume();
    await until(() => bytes > 4 * MiB);
  }
  socket.destroy();
});

it('a slow reader that goes on reading is not cut off', async () => {
  await start((call) => sendAll(call, 12 * MiB), { limits: { wallMs: 1_000 } });
  const socket = net.connect(world.port, '127.0.0.1');
  socket.write('GET /run/acme/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  let bytes = 0;
  socket.on('data', (chunk) => {
    bytes += chunk.length;
    socket.pause();
    setTimeout(() => socket.resume(), 15);
  });
  await until(() => socket.readableEnded, 20_000);
  expect(bytes).toBeGreaterThan(12 * MiB);
  expect(world.sandboxes.calls[0]!.cancelledFor).toBeNull();
});
