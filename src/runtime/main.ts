/**
 * Entry of the bundle that runs in a sandbox: `node runtime.cjs <socket, or ->`. Connects out, says Hello, waits for Load. Worker
 * threads of tenants' code load it too, before that code.
 */
import type net from 'node:net';
import v8 from 'node:v8';
import { isMainThread } from 'node:worker_threads';
import { NO_PRETENURING } from '../kernel/node-flags.ts';
import { connectSocket, STDIO, takeStdio } from './channel-ends.ts';
import { installConnect } from './egress/connect.ts';
import { installLocalProxy } from './egress/local-proxy.ts';
import { installLookups } from './egress/lookups.ts';
import { enterWorker } from './egress/worker-entry.ts';
import { installWorkers } from './egress/workers.ts';
import { hookImports } from './evaluate.ts';
import { Exercise } from './exercise.ts';
import { installFaults, type Faults } from './faults.ts';
import { installListenTrap } from './listen-trap.ts';
import { installLogStreams } from './log-streams.ts';
import { reallyExit } from './process-exit.ts';
import { Runtime } from './runtime.ts';
import { installUserInfo } from './user-info.ts';

const now = performance.now.bind(performance);
/** Before tenants' code may change it. */
const { setFlagsFromString } = v8;
/** One buffer for all reads: no garbage for short requests. */
const READ_BYTES = 64 * 1024;
const HOST_GONE_EXIT_CODE = 0;
const USAGE_EXIT_CODE = 64;

function main(path: string, runtimeFile: string): void {
  let receive = (_chunk: Buffer): void => {};
  const buffer = Buffer.alloc(READ_BYTES);
  const onRead = (bytes: number): boolean => {
    receive(buffer.subarray(0, bytes));
    return true;
  };
  const onread = { buffer, callback: onRead };
  const { input, output } = path === STDIO ? takeStdio(onread) : connectSocket(path, onread);
  for (const socket of new Set([input, output])) pinMethods(socket);
  let faults: Faults | null = null;
  const trap = installListenTrap();
  const runtime = new Runtime({
    sink: output,
    trap,
    now,
    ownsProcess: true,
    exercise: new Exercise({ trap, now }),
    // Not before: V8 takes the bytecode of Node's own modules, and of large functions, only under the flags it was made under.
    onFirstOver: () => setFlagsFromString(NO_PRETENURING),
    onUncaught: (thrown) => faults?.uncaught(thrown),
  });
  hookImports();
  installConnect(runtime.egress);
  installLookups(runtime.egress);
  const detached = runtime.detached.bind(runtime);
  installLocalProxy({ detached });
  installWorkers({ port: runtime.egress, runtimeFile, detached });
  const streams = installLogStreams(runtime.log);
  faults = installFaults({
    tell: (failure) => {
      streams.flush();
      runtime.log.reportDropped();
      runtime.channel.fatal(failure);
    },
    onWritten: (done) => output.write('', done),
  });
  receive = (chunk) => runtime.receive(chunk);
  for (const socket of new Set([input, output])) {
    socket.on('error', () => reallyExit(HOST_GONE_EXIT_CODE));
    socket.on('close', () => reallyExit(HOST_GONE_EXIT_CODE));
  }
  runtime.hello();
}

/** Own copies of the methods that the channel needs, out of reach of who changes the prototypes. */
function pinMethods(socket: net.Socket): void {
  const target = socket as unknown as Record<string, unknown>;
  const seen = new Set(['constructor']);
  for (
    let holder: object | null = Object.getPrototypeOf(socket) as object;
    holder !== null && holder !== Object.prototype;
    holder = Object.getPrototypeOf(holder) as object | null
  ) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(holder))) {
      if (seen.has(name) || typeof value !== 'function' || Object.hasOwn(target, name)) continue;
      seen.add(name);
      Object.defineProperty(target, name, { value, configurable: true, writable: true });
    }
  }
}

installUserInfo();
const [, runtimeFile, path] = process.argv;
if (!isMainThread) enterWorker();
else if (runtimeFile === undefined || path === undefined) {
  process.stderr.write('usage: runtime <socket, or - for descriptors 0 and 1>\n');
  process.exitCode = USAGE_EXIT_CODE;
} else main(path, runtimeFile);
