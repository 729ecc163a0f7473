/** The scripts that a fresh clone runs: signals, death of the wrapper, what is missing. They run here as processes. */
import { type ChildProcess, spawn, spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { root } from './source-files.ts';

let folder: string;
let children: ChildProcess[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-scripts-'));
  children = [];
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
    if (text.startsWith('#!')) chmodSync(join(folder, name), 0o755);
  }
}

async function until<T>(what: string, check: () => T | null | undefined | false): Promise<T> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const found = check();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited too long for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const url = (path: string): string => JSON.stringify(new URL(path, `file://${root}`).href);
/** Counts its signals into a file, and ends 300 ms after the first with exit code 7. */
const SERVER = `
import { appendFileSync } from 'node:fs';
const say = (text) => appendFileSync(process.argv[2], text + '\\n');
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => { say(signal); setTimeout(() => process.exit(7), 300); });
setInterval(() => {}, 1_000);
say('pid ' + process.pid);
`;
const WRAPPER = `
import { runChild } from ${url('scripts/run-child.mjs')};
const env = { ...process.env, BERTH_FOLLOW_PID: String(process.pid) };
const args = ['--import', ${url('scripts/follow-parent.mjs')}, process.argv[2], process.argv[3]];
const pause = process.env.RESTART_AFTER_MS;
const more = pause === undefined ? {} : { restartAfterMs: Number(pause) };
process.exitCode = await runChild(process.execPath, args, { env, ownSession: true, restarts: 2, ...more });
`;

interface Running {
  readonly wrapper: ChildProcess;
  readonly serverPid: number;
  readonly signals: () => string[];
  /** Of every server so far. */
  readonly pids: () => number[];
}

async function startWrapped(env: Record<string, string> = {}): Promise<Running> {
  write({ 'server.mjs': SERVER, 'wrapper.mjs': WRAPPER });
  const [said, server, wrapper] = ['said', 'server.mjs', 'wrapper.mjs'].map((name) => join(folder, name));
  const child = spawn(process.execPath, [wrapper!, server!, said!], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: 'inherit',
    detached: true,
  });
  children.push(child);
  const lines = (): string[] => {
    try {
      return readFileSync(said!, 'utf8').split('\n').filter(Boolean);
    } catch {
      return [];
    }
  };
  const first = await until('the server', () => lines().find((line) => line.startsWith('pid ')));
  const pids = (): number[] =>
    lines()
      .filter((line) => line.startsWith('pid '))
      .map((line) => Number(line.slice(4)));
  return { wrapper: child, serverPid: Number(first.slice(4)), signals: () => lines().slice(1), pids };
}

describe('npm start', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)(
    'passes %s on once, though terminal and npm both send it, and ends as the server ends',
    async (signal) => {
      const { wrapper, serverPid, signals } = await startWrapped();
      const ended = new Promise((resolve) => wrapper.once('exit', resolve));
      process.kill(-wrapper.pid!, signal);
      process.kill(wrapper.pid!, signal);
      expect(await ended).toBe(7);
      expect(signals()).toEqual([signal]);
      expect(isAlive(serverPid)).toBe(false);
    },
  );

  it('does not leave a server behind when it is killed', async () => {
    const { wrapper, serverPid, signals } = await startWrapped();
    process.kill(wrapper.pid!, 'SIGKILL');
    await until('the server to end', () => !isAlive(serverPid));
    expect(signals()).toEqual(['SIGTERM']);
  });
});

describe('npm start, when the platform is killed', () => {
  it('starts it again, a few times', async () => {
    const { wrapper, pids } = await startWrapped();
    const ended = new Promise((resolve) => wrapper.once('exit', resolve));
    for (const count of [1, 2, 3]) {
      const found = await until(`server ${count}`, () => pids()[count - 1]);
      process.kill(found, 'SIGKILL');
    }
    expect(await ended).toBe(128 + 9);
    expect(pids()).toHaveLength(3);
  });

  it('does not start it again when it was told to end', async () => {
    const { wrapper, serverPid, pids } = await startWrapped();
    const ended = new Promise((resolve) => wrapper.once('exit', resolve));
    wrapper.kill('SIGTERM');
    process.kill(serverPid, 'SIGKILL');
    expect([7, 128 + 9]).toContain(await ended);
    expect(pids()).toHaveLength(1);
  });
});

it('npm start does not start the platform again when its own signal is handled after the death of the platform', async () => {
  const { wrapper, serverPid, pids } = await startWrapped({ RESTART_AFTER_MS: '15000' });
  const ended = new Promise((resolve) => wrapper.once('exit', resolve));
  process.kill(serverPid, 'SIGKILL');
  // The wrapper has seen it: what nobody has waited for would still be there.
  await until('the server to be reaped', () => !isAlive(serverPid));
  wrapper.kill('SIGTERM');
  expect(await ended).toBe(128 + 9);
  expect(pids()).toHaveLength(1);
});

describe('bubblewrap', () => {
  /** Runs the helper with only these commands on PATH. */
  function ensure(
    commands: Readonly<Record<string, string>>,
    uid: number,
  ): { stderr: string; result: string } {
    write(Object.fromEntries(Object.entries(commands).map(([name, text]) => [`bin/${name}`, text])));
    mkdirSync(join(folder, 'bin'), { recursive: true });
    for (const tool of ['sh', 'touch', 'chmod']) symlinkSync(join('/bin', tool), join(folder, 'bin', tool));
    const code = `process.getuid = () => ${uid}; const { ensureBubblewrap } = await import(${url('scripts/bubblewrap.mjs')}); console.log(ensureBubblewrap());`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      env: { PATH: join(folder, 'bin') },
      encoding: 'utf8',
    });
    return { stderr, result: stdout.trim() };
  }
  const aptGet = (body: string): string => `#!/bin/sh\necho "$@" >> ${join(folder, 'apt.log')}\n${body}\n`;

  it('is left alone when it is there', () => {
    expect(ensure({ bwrap: '#!/bin/sh\n' }, 0)).toEqual({ stderr: '', result: 'true' });
  });

  it('is installed as root, saying so', () => {
    const bwrap = join(folder, 'bin/bwrap');
    const { stderr, result } = ensure({ 'apt-get': aptGet(`touch ${bwrap}; chmod 755 ${bwrap}`) }, 0);
    expect(result).toBe('true');
    expect(stderr).toContain('installing it with apt-get');
    expect(readFileSync(join(folder, 'apt.log'), 'utf8')).toBe(
      '-qq update\n-qq install -y --no-install-recommends bubblewrap\n',
    );
  });

  it('that cannot be installed is told with what apt-get said', () => {
    const { stderr, result } = ensure({ 'apt-get': aptGet('echo "no network" >&2; exit 100') }, 0);
    expect(result).toBe('false');
    expect(stderr).toContain('no network');
    expect(stderr).toContain('Try: apt-get update && apt-get install');
  });

  it('is for another user the exact command to run', () => {
    const { stderr, result } = ensure({ 'apt-get': aptGet('exit 1') }, 1_000);
    expect(result).toBe('false');
    expect(stderr).toContain('sudo apt-get install -y --no-install-recommends bubblewrap');
  });

  it('is not wanted by those who chose another driver', async () => {
    const { mayUseJail } = (await import(new URL('scripts/bubblewrap.mjs', `file://${root}`).href)) as {
      mayUseJail(argv: readonly string[], env: Record<string, string>): boolean;
    };
    write({ 'process.json': '{"driver":"process"}' });
    const file = join(folder, 'process.json');
    expect(mayUseJail([], {})).toBe(true);
    expect(mayUseJail(['--driver=process'], { BERTH_DRIVER: 'jail' })).toBe(false);
    expect(mayUseJail([], { BERTH_DRIVER: 'process' })).toBe(false);
    expect(mayUseJail(['--config', file], {})).toBe(false);
    expect(mayUseJail([], { BERTH_CONFIG: file, BERTH_DRIVER: 'auto' })).toBe(true);
  });
});

describe('the last line of .ci/run', () => {
  const assertion = (status: string): object => ({ status, fullName: `a ${status} test` });

  function summary(report: object | null, ...failedSteps: string[]): { last: string; code: number | null } {
    const { stdout, status } = runSummary(report, ...failedSteps);
    return { last: stdout.trimEnd().split('\n').at(-1)!, code: status };
  }

  function runSummary(report: object | null, ...failedSteps: string[]): SpawnSyncReturns<string> {
    write({ 'report.json': JSON.stringify(report) });
    return spawnSync(
      process.execPath,
      [
        join(root, 'scripts/test-summary.mjs'),
        join(folder, report === null ? 'none' : 'report.json'),
        ...failedSteps,
      ],
      { encoding: 'utf8' },
    );
  }

  it.each<[what: string, tests: string[], steps: string[], last: string]>([
    ['all passed', ['passed', 'passed'], [], '2 passed, 0 failed'],
    ['one failed', ['passed', 'failed'], ['tests'], '1 passed, 1 failed'],
    ['one was skipped', ['passed', 'pending'], [], '1 passed, 1 failed'],
    ['the linter failed', ['passed'], ['lint'], '1 passed, 1 failed'],
    ['there was an error outside of tests', ['passed'], ['tests'], '1 passed, 1 failed'],
    ['there was no test', [], [], '0 passed, 1 failed'],
  ])('when %s', (_what, tests, steps, last) => {
    const report = { testResults: [{ name: 'x', status: 'passed', assertionResults: tests.map(assertion) }] };
    expect(summary(report, ...steps)).toEqual({ last, code: last.endsWith(' 0 failed') ? 0 : 1 });
  });

  it('comes after what the failed tests said, cut', () => {
    const message = `\u001B[31mexpected 1\u001B[39m ${'x'.repeat(1_000)}\n${'at here\n'.repeat(100)}`;
    const failed = { ...assertion('failed'), failureMessages: [message] };
    const report = { testResults: [{ name: 'x', status: 'failed', assertionResults: [failed] }] };
    const lines = runSummary(report, 'tests').stdout.trimEnd().split('\n');
    expect(lines.slice(0, 3)).toEqual([
      'failed: a failed test',
      `    expected 1 ${'x'.repeat(289)}`,
      '    at here',
    ]);
    expect([lines.length, lines.at(-1)]).toEqual([23, '0 passed, 1 failed']);
  });

  it('when a file could not be loaded, or nothing was reported', () => {
    const broken = {
      testResults: [{ name: 'x', status: 'failed', message: 'no such module', assertionResults: [] }],
    };
    expect(summary(broken, 'tests')).toEqual({ last: '0 passed, 1 failed', code: 1 });
    expect(summary(null, 'tests')).toEqual({ last: '0 passed, 1 failed', code: 1 });
  });
});
