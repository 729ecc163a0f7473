import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { compareVersions, EngineClient, type EngineCall, isUnreached } from './engine-client.ts';

let folder: string;
let server: http.Server;
let engine: EngineClient;
let version = '1.41';
let answer: http.RequestListener = (_request, response) => void response.end('{}');
const sockets: Socket[] = [];

beforeEach(async () => {
  version = '1.41';
  folder = mkdtempSync(join(tmpdir(), 'berth-engine-'));
  const path = join(folder, 'docker.sock');
  server = http.createServer((request, response) => {
    if (request.url !== '/_ping') return answer(request, response);
    response.setHeader('api-version', version).end('OK');
  });
  server.on('upgrade', (_request, socket: Socket) => {
    sockets.push(socket);
    socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  engine = new EngineClient(`unix://${path}`);
});
afterEach(() => {
  engine.close();
  server.closeAllConnections();
  server.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  rmSync(folder, { recursive: true });
});

const get = (path: string, more: Partial<EngineCall> = {}): Promise<unknown> =>
  engine.call({ method: 'GET', path, ...more });

test('asks an engine that came back for its version anew', async () => {
  const urls: (string | undefined)[] = [];
  answer = (request, response) => {
    urls.push(request.url);
    response.end('{}');
  };
  await get('/info');
  const path = server.address() as string;
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  // The first may still have got a connection that was open.
  for (const isSure of [false, true]) {
    const error = await get('/info').catch((reason: unknown) => reason);
    expect(error).toMatchObject({ status: 0 });
    if (isSure) expect(isUnreached(error)).toBe(true);
  }
  version = '1.44';
  await new Promise<void>((resolve) => server.listen(path, resolve));
  await get('/info');
  expect(urls).toEqual(['/v1.41/info', '/v1.44/info']);
});

test('what got no answer may have had its effect', async () => {
  answer = (_request, response) => response.destroy();
  const error = await get('/info').catch((reason: unknown) => reason);
  expect(error).toMatchObject({ status: 0 });
  expect(isUnreached(error)).toBe(false);
});

test('speaks the version of the older side, and refuses one that is too old', async () => {
  const urls: (string | undefined)[] = [];
  answer = (request, response) => {
    urls.push(request.url);
    response.end('{}');
  };
  await get('/info');
  version = '1.99';
  engine.close();
  engine = new EngineClient(`unix://${join(folder, 'docker.sock')}`);
  await get('/info');
  expect(urls).toEqual(['/v1.41/info', '/v1.51/info']);
  version = '1.40';
  const old = new EngineClient(`unix://${join(folder, 'docker.sock')}`);
  await expect(old.version()).rejects.toThrow('Docker 20.10');
  old.close();
  expect(compareVersions('1.9', '1.41')).toBeLessThan(0);
});

test('what the engine refuses is told with its status and its own words', async () => {
  answer = (_request, response) => void response.writeHead(409).end('{"message":"it is running"}');
  await expect(get('/containers/x')).rejects.toMatchObject({
    status: 409,
    message: 'GET /containers/x: 409 it is running',
  });
});

test('an answer that trickles in is given up at the deadline of the call', async () => {
  answer = (_request, response) => {
    response.writeHead(200);
    const drip = setInterval(() => response.write(' '), 20);
    response.once('close', () => clearInterval(drip));
  };
  await engine.version();
  await expect(get('/info', { deadlineMs: 300 })).rejects.toMatchObject({
    status: 0,
    message: expect.stringContaining('in time'),
  });
});

test('calls that wait for a connection have the same deadline: they do not wait for those before them', async () => {
  answer = () => undefined;
  await engine.version();
  const calls = Array.from({ length: 100 }, () => get('/info', { deadlineMs: 1_000 }));
  const started = performance.now();
  const ends = await Promise.allSettled(calls);
  expect(ends.map(({ status }) => status)).toEqual(calls.map(() => 'rejected'));
  // One after the other, in rounds of 32, they would take four times as long as the deadline.
  expect(performance.now() - started).toBeLessThan(3_000);
});

test('a stream that breaks before anybody reads it ends, and harms nobody', async () => {
  const stream = await engine.hijack({ method: 'POST', path: '/containers/x/attach' });
  const closed = new Promise((resolve) => stream.once('close', resolve));
  stream.destroy(new Error('read ECONNRESET'));
  await closed;
  expect(stream.destroyed).toBe(true);
});

test('a stream has no deadline once it is open', async () => {
  const stream = await engine.hijack({ method: 'POST', path: '/x', deadlineMs: 100 });
  const ended = { is: false };
  stream.once('close', () => (ended.is = true));
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(ended.is).toBe(false);
  stream.destroy();
});
