/** A server of one side: a process of its own, waited for until it answers, ended with its scope. */
import { type ChildProcess, spawn } from 'node:child_process';
import { eventually, freePort } from '../../test/support/platform.ts';

const START_MS = 30_000;
const ASK_MS = 2_000;
const OUTPUT_CHARACTERS = 4_000;

export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Record<string, string>;
}

export interface Server {
  readonly port: number;
  readonly pid: number;
}

export type Scope = AsyncDisposableStack;

/** Starts a server on a free port of loopback and waits until it answers a GET of `/`. @throws Error with its output when it ends first */
export async function startServer(scope: Scope, command: (port: number) => ServerCommand): Promise<Server> {
  const port = await freePort();
  const child = startChild(scope, command(port));
  await eventually(async () => {
    child.assertAlive();
    const response = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(ASK_MS) });
    await response.arrayBuffer();
  }, START_MS);
  return { port, pid: child.process.pid! };
}

export interface Child {
  readonly process: ChildProcess;
  /** @throws Error with its last output when it has ended */
  assertAlive(): void;
}

export function startChild(scope: Scope, { command, args, env = {} }: ServerCommand): Child {
  const child = spawn(command, args, {
    env: { PATH: process.env['PATH'] ?? '', NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (text: Buffer): void => {
    output = (output + text.toString()).slice(-OUTPUT_CHARACTERS);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  child.on('error', (error) => (output += String(error)));
  scope.defer(() => end(child));
  return {
    process: child,
    assertAlive() {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined)
        throw new Error(`${command} ${args.join(' ')} ended: ${output}`);
    },
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}
