/** Real databases for tests, each on a free port of loopback and in a folder of its own: Debian's PostgreSQL and Redis. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually, freePort } from './platform.ts';

export interface Database {
  readonly port: number;
  stop(): Promise<void>;
}

const POSTGRES_ROOT = '/usr/lib/postgresql';
/** Debian's `nobody`: PostgreSQL refuses to run as root. */
const NOBODY = 65_534;
const START_MS = 30_000;

/** @returns the folder of PostgreSQL's programs; null: not installed */
export async function findPostgres(): Promise<string | null> {
  const versions = await readdir(POSTGRES_ROOT).catch(() => []);
  const newest = versions.toSorted((a, b) => Number(a) - Number(b)).at(-1);
  return newest === undefined ? null : join(POSTGRES_ROOT, newest, 'bin');
}

export async function hasRedis(): Promise<boolean> {
  return promisify(execFile)('redis-server', ['--version']).then(
    () => true,
    () => false,
  );
}

/** A server with the user `berth`, who needs no password. */
export async function startPostgres(bin: string): Promise<Database> {
  const dir = await mkdtemp(join(tmpdir(), 'berth-pg-'));
  const identity = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  if ('uid' in identity) await chown(dir, NOBODY, NOBODY);
  const options = { ...identity, cwd: dir, env: { PATH: bin, LC_ALL: 'C' } };
  const data = join(dir, 'data');
  await promisify(execFile)(
    join(bin, 'initdb'),
    ['-D', data, '-U', 'berth', '-A', 'trust', '--no-sync'],
    options,
  );
  const port = await freePort();
  const values = ['-D', data, '-h', '127.0.0.1', '-p', String(port), '-k', dir, '-F'];
  // SIGINT is its fast shutdown.
  return started(spawn(join(bin, 'postgres'), values, { ...options, stdio: 'ignore' }), {
    dir,
    port,
    signal: 'SIGINT',
  });
}

export async function startRedis(): Promise<Database> {
  const dir = await mkdtemp(join(tmpdir(), 'berth-redis-'));
  const port = await freePort();
  const values = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', dir];
  return started(spawn('redis-server', values, { stdio: 'ignore' }), { dir, port, signal: 'SIGTERM' });
}

async function started(
  child: ChildProcess,
  { dir, port, signal }: { readonly dir: string; readonly port: number; readonly signal: NodeJS.Signals },
): Promise<Database> {
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
  });
  const stop = async (): Promise<void> => {
    child.kill(signal);
    await gone;
    await rm(dir, { recursive: true, force: true });
  };
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    await listens(port);
  }, START_MS).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return { port, stop };
}

function listens(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', reject);
  });
}
