/**
 * One process of the server: started with its handover, its line to the supervisor, a descriptor to say that it serves and the
 * socket on which clients call.
 */
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { coverStrays } from '../drivers/stray-descriptors.ts';

/** Descriptors of the server. */
export const DRIVER_FD = 3;
export const READY_FD = 4;
export const PUBLIC_FD = 5;

/** All that a server gets of the supervisor's environment: root's may hold what is none of its business. */
const PASSED_ON =
  /^(?:PATH|TZ|TERM|LANG|LC_[A-Z]+|NO_COLOR|FORCE_COLOR|NODE_EXTRA_CA_CERTS|SSL_CERT_(?:FILE|DIR))$/;

export interface ServerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ServerProcess {
  readonly pid: number;
  /** The line of the driver. */
  readonly socket: Socket;
  /** Resolves when it serves. Never rejects: race it against `exited`. */
  readonly ready: Promise<void>;
  readonly exited: Promise<ServerExit>;
  kill(signal: NodeJS.Signals): void;
}

export interface ServerCommand {
  /** Program and arguments. */
  readonly words: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly handover: string;
  /** The socket on which clients call, in this process. */
  readonly publicFd: number;
}

/** It has a session of its own: a terminal's Ctrl-C comes to the supervisor, which passes it on. @throws Error when it cannot be started */
export async function startServer({ words, env, handover, publicFd }: ServerCommand): Promise<ServerProcess> {
  const [program, ...args] = words;
  const child = spawn(program, args, {
    cwd: '/',
    env: passedOn(env),
    detached: true,
    stdio: coverStrays(['pipe', 'inherit', 'inherit', 'pipe', 'pipe', publicFd]),
  });
  const exited = new Promise<ServerExit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  giveHandover(child.stdin!, handover);
  return {
    pid: child.pid!,
    socket: child.stdio[DRIVER_FD] as Socket,
    ready: firstByte(child.stdio[READY_FD] as Readable),
    exited,
    kill: (signal) => void child.kill(signal),
  };
}

function passedOn(env: Readonly<Record<string, string | undefined>>): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => PASSED_ON.test(name)));
}

/** A server that ends before it has read it tells so by its exit. */
function giveHandover(stdin: Writable, handover: string): void {
  stdin.on('error', () => undefined);
  stdin.end(handover);
}

function firstByte(stream: Readable): Promise<void> {
  return new Promise((resolve) => {
    stream.on('error', () => undefined);
    stream.once('data', () => {
      stream.destroy();
      resolve();
    });
  });
}
