/**
 * What any platform with a process for each function does at the least: some bytes to a process and back. No HTTP, no
 * isolation, no accounting; what remains is a process that wakes up.
 */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../test/support/platform.ts';
import { serverFile } from './berth.ts';
import { startChild, type Scope } from './child.ts';

const START_MS = 30_000;
/** As many start at a time. */
const AT_ONCE = 10;
/** Of a short request with its frame. */
const MESSAGE = Buffer.alloc(200);

export interface EchoLoad {
  readonly seconds: number;
  /** messages on their way at any time */
  readonly inFlight: number;
}

/** @returns connections to `count` processes, each of which gives back what it gets */
export async function startEchoes(scope: Scope, count: number): Promise<net.Socket[]> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-'));
  scope.defer(() => rm(folder, { recursive: true }));
  const sockets: net.Socket[] = [];
  for (let first = 0; first < count; first += AT_ONCE) {
    const numbers = Array.from({ length: Math.min(AT_ONCE, count - first) }, (_, index) => first + index);
    sockets.push(
      ...(await Promise.all(numbers.map((number) => startEcho(scope, join(folder, `${number}`))))),
    );
  }
  return sockets;
}

async function startEcho(scope: Scope, path: string): Promise<net.Socket> {
  const child = startChild(scope, { command: process.execPath, args: [serverFile('echo.cjs'), path] });
  const socket = await eventually(() => {
    child.assertAlive();
    return connect(path);
  }, START_MS);
  scope.defer(() => void socket.destroy());
  return socket;
}

async function connect(path: string): Promise<net.Socket> {
  const socket = net.connect(path);
  await once(socket, 'connect');
  return socket;
}

/** Sends to each in turn, the next message whenever one is back. @returns messages a second */
export async function echoesPerSecond(sockets: readonly net.Socket[], load: EchoLoad): Promise<number> {
  let sent = 0;
  let bytesBack = 0;
  const send = (): void => void sockets[sent++ % sockets.length]!.write(MESSAGE);
  const onData = (bytes: Buffer): void => {
    const before = Math.floor(bytesBack / MESSAGE.length);
    bytesBack += bytes.length;
    for (let back = Math.floor(bytesBack / MESSAGE.length); back > before; back--) send();
  };
  for (const socket of sockets) socket.on('data', onData);
  const started = performance.now();
  for (let message = 0; message < load.inFlight; message++) send();
  await delay(load.seconds * 1_000);
  const perSecond = bytesBack / MESSAGE.length / ((performance.now() - started) / 1_000);
  for (const socket of sockets) socket.off('data', onData);
  return perSecond;
}
