/** The load generator of every side: Debian's wrk, installed on demand. It sends what `load/wrk.lua` says. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { projectRoot } from '../../test/support/platform.ts';

const run = promisify(execFile);
const SCRIPT = join(projectRoot, 'bench/load/wrk.lua');
const MICROS = 1_000;
const EXTRA_MS = 30_000;
/** What takes longer counts as failed. wrk's own 2 s would end a run for an answer that belongs into its p99. */
const TIMEOUT_S = 10;

const reportSchema = z.object({
  requests: z.number(),
  micros: z.number(),
  p50Micros: z.number(),
  p99Micros: z.number(),
  maxMicros: z.number(),
  /** wrk's own words: `status` is an answer of 400 and above, `timeout` one that came later than TIMEOUT_S. */
  errors: z.record(z.string(), z.number()),
});

export interface Target {
  readonly port: number;
  readonly requests: readonly { readonly path: string; readonly token?: string }[];
}

export interface LoadOptions {
  readonly seconds: number;
  readonly connections?: number;
  /** Mean pause of each connection between two requests; left out: none. */
  readonly pauseMs?: number;
}

export interface Load {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Installs wrk with apt-get where it is missing, saying so. @throws Error with the command to run when that cannot be */
export function ensureWrk(say: (text: string) => void): void {
  if (wrkVersion() !== null) return;
  const install = 'apt-get install -y --no-install-recommends wrk';
  if (process.geteuid?.() !== 0) throw new Error(`wrk is missing. Install it: sudo ${install}`);
  say(`wrk is missing; installing it: ${install}`);
  execFileSync('apt-get', ['-qq', 'update'], { stdio: ['ignore', 'ignore', 'inherit'] });
  execFileSync('apt-get', ['-qq', ...install.split(' ').slice(1)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** wrk prints its version with its usage, and fails then. */
export function wrkVersion(): string | null {
  try {
    execFileSync('wrk', ['--version'], { encoding: 'utf8', stdio: 'pipe' });
    return 'unknown';
  } catch (error) {
    const { stdout } = error as { stdout?: string };
    return stdout === undefined ? null : (/wrk (?:debian\/)?(\S+)/.exec(stdout)?.[1] ?? null);
  }
}

/** One thread, keep-alive connections. @throws Error when a request failed or was answered with an error */
export async function load(target: Target, options: LoadOptions): Promise<Load> {
  const { seconds, connections = 32, pauseMs = 0 } = options;
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-'));
  try {
    const file = join(folder, 'requests');
    const lines = target.requests.map(({ path, token }) =>
      token === undefined ? path : `${path}\t${token}`,
    );
    await writeFile(file, lines.join('\n'));
    const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', `${TIMEOUT_S}s`, '-s', SCRIPT];
    const url = `http://127.0.0.1:${target.port}`;
    const { stdout } = await run('wrk', [...args, url, '--', file, String(pauseMs)], {
      timeout: seconds * 1_000 + EXTRA_MS,
    });
    return read(stdout);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function read(stdout: string): Load {
  const report = reportSchema.parse(JSON.parse(stdout.trim().split('\n').at(-1)!));
  const failed = Object.entries(report.errors).filter(([, count]) => count > 0);
  if (failed.length > 0)
    throw new Error(
      `of ${report.requests} requests some failed: ${failed.map((one) => one.join(' ')).join(', ')}`,
    );
  return {
    perSecond: (report.requests / report.micros) * 1e6,
    p50Ms: report.p50Micros / MICROS,
    p99Ms: report.p99Micros / MICROS,
  };
}
