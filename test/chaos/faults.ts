/** The faults. Each strikes processes, files and limits that this test made, and takes back what does not end by itself. */
import { execFile } from 'node:child_process';
import { closeSync, openSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type StartOptions, TestPlatform } from '../support/platform.ts';
import type { ConnectionCost } from './judge.ts';
import type { Load } from './load.ts';

const run = promisify(execFile);

export interface Struck {
  readonly platform: TestPlatform;
  readonly load: Load;
}

export interface Place {
  readonly start: StartOptions;
  readonly env?: Record<string, string>;
  /** Of the file system that is mounted for it, the line in mountinfo would look like one of the platform's. */
  readonly isMounted?: boolean;
  readonly cleanUp: () => Promise<void>;
}

export interface Fault {
  readonly name: string;
  /** What clients may see of it in their connections. */
  readonly connections: ConnectionCost;
  /** What the platform needs for it. */
  readonly prepare?: () => Promise<Place>;
  /** Resolves when the fault is over and recovery begins. */
  strike(struck: Struck): Promise<void>;
}

const HELD_MS = 6_000;
const asNpmStart = async (): Promise<Place> => ({
  start: { program: 'scripts/start.mjs' },
  cleanUp: async () => undefined,
});

const killServer: Fault = {
  name: 'the server is killed',
  connections: 'cut',
  async strike({ platform }) {
    process.kill(platform.pid, 'SIGKILL');
  },
};

const killSupervisor: Fault = {
  name: 'the supervisor is killed',
  connections: 'refused',
  prepare: asNpmStart,
  async strike({ platform }) {
    process.kill(platform.supervisorPid, 'SIGKILL');
  },
};

const KILLS = 20;
const KILL_EVERY_MS = 150;

const killSandboxes: Fault = {
  name: `${KILLS} random sandboxes are killed`,
  connections: 'none',
  async strike({ platform }) {
    for (let kill = 0; kill < KILLS; kill++) {
      const sandboxes = [...platform.sandboxes().values()];
      const victim = sandboxes[Math.floor(Math.random() * sandboxes.length)];
      for (const pid of victim ?? []) killIfThere(pid);
      await delay(KILL_EVERY_MS);
    }
  },
};

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Node's binary is copied into it, since a hard link cannot lead there. */
const DISK_MEGABYTES = 256;

const fullDisk: Fault = {
  name: 'the data disk is full',
  connections: 'none',
  async prepare() {
    const folder = await mkdtemp(join(tmpdir(), 'berth-disk-'));
    await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MEGABYTES}m,mode=700`, 'berth-chaos', folder]);
    const cleanUp = async (): Promise<void> => {
      await run('umount', ['--lazy', folder]);
      await rm(folder, { recursive: true });
    };
    return { start: { dataDir: folder }, isMounted: true, cleanUp };
  },
  async strike({ platform }) {
    const filler = join(platform.dataDir, 'filler');
    fill(filler);
    await delay(HELD_MS);
    rmSync(filler);
  },
};

function fill(path: string): void {
  const fd = openSync(path, 'w');
  try {
    // Down to the last page, which a whole megabyte would leave.
    for (const size of [1 << 20, 1 << 12]) {
      const zeros = Buffer.alloc(size);
      for (;;) if (!writes(fd, zeros)) break;
    }
  } finally {
    closeSync(fd);
  }
}

function writes(fd: number, bytes: Buffer): boolean {
  try {
    return writeSync(fd, bytes) > 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
    throw error;
  }
}

const busyDatabase: Fault = {
  name: 'another process has the database locked',
  connections: 'none',
  async strike({ platform }) {
    const locks = ['berth.db', 'logs.db'].map((name) => new DatabaseSync(join(platform.dataDir, name)));
    for (const lock of locks) lock.exec('begin immediate');
    await delay(HELD_MS);
    for (const lock of locks) lock.close();
  },
};

const SPARE_DESCRIPTORS = 3;
/** More than there are blank sandboxes: some must be made when no descriptor is left to make them. */
const COLD_FUNCTIONS = 10;
const EXTRA_CONNECTIONS = 150;

/** Node's own descriptors are few and steady; connections and sandboxes take the rest. */
const noDescriptors: Fault = {
  name: 'server and supervisor run out of file descriptors',
  connections: 'cut',
  prepare: async () => ({
    start: {},
    env: { BERTH_POOL_MAX_BLANK: '4' },
    cleanUp: async () => undefined,
  }),
  async strike({ platform, load }) {
    const pids = [platform.pid, platform.supervisorPid];
    const before = await Promise.all(pids.map((pid) => openFilesLimit(pid)));
    const cold = Array.from({ length: COLD_FUNCTIONS }, (_, n) => `cold-${n}`);
    for (const fn of cold) await platform.deploy('chaos-a', fn, 'module.exports = (cb) => cb(null, {})');
    for (const pid of pids) await limitOpenFiles(pid, String(openFiles(pid) + SPARE_DESCRIPTORS));
    const { hostname, port } = new URL(platform.url);
    const sockets = Array.from({ length: EXTRA_CONNECTIONS }, () => idleConnection(hostname, Number(port)));
    await Promise.all(cold.map((fn) => load.callCold('chaos-a', fn)));
    await delay(HELD_MS / 2);
    for (const socket of sockets) socket.destroy();
    for (const [at, pid] of pids.entries()) await limitOpenFiles(pid, before[at]!);
  },
};

function idleConnection(host: string, port: number): Socket {
  return connect(port, host).on('error', () => undefined);
}

function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

async function openFilesLimit(pid: number): Promise<string> {
  return await prlimit(pid, '--nofile', '--output=SOFT', '--noheadings');
}

/** The soft limit of a process of this test's platform; the hard one stays. */
async function limitOpenFiles(pid: number, soft: string): Promise<void> {
  await prlimit(pid, `--nofile=${soft}:`);
}

/** As the user of that process, who may (man 2 prlimit); root in a container often may not. */
async function prlimit(pid: number, ...words: string[]): Promise<string> {
  const uid = statSync(`/proc/${pid}`).uid;
  const asUser = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
  const { stdout } = await run('setpriv', [...asUser, 'prlimit', '--pid', String(pid), ...words]);
  return stdout.trim();
}

const JUMPS = 4;
const JUMP_EVERY_MS = 1_000;

const jumpingClock: Fault = {
  name: 'the clock jumps, forth and back',
  connections: 'none',
  prepare: async () => ({
    start: { program: 'test/chaos/jumping-platform.ts' },
    cleanUp: async () => undefined,
  }),
  async strike({ platform }) {
    for (let jump = 0; jump < JUMPS; jump++) {
      process.kill(platform.supervisorPid, 'SIGUSR2');
      await delay(JUMP_EVERY_MS);
    }
  },
};

export const faults: readonly Fault[] = [
  killServer,
  killSupervisor,
  killSandboxes,
  fullDisk,
  busyDatabase,
  jumpingClock,
  noDescriptors,
];
