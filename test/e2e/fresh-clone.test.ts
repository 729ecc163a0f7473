/** What a stranger does: clone, `npm start`, paste the three commands that it prints, run tests. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify, stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { instanceOf, sandboxProcesses } from '../support/host.ts';
import { eventually, freePort, projectRoot } from '../support/platform.ts';

const run = promisify(execFile);
let clone: string;
let start: ChildProcess;
let output = '';
let port: number;
/** As on a user's machine: without what this test run has put on PATH and into the environment. */
const env = {
  PATH: (process.env['PATH'] ?? '')
    .split(':')
    .filter((folder) => !folder.includes('node_modules'))
    .join(':'),
  HOME: process.env['HOME'] ?? '/',
};

beforeAll(async () => {
  clone = await mkdtemp(join(tmpdir(), 'berth-clone-'));
  await run('git', ['clone', '--quiet', projectRoot, clone]);
  port = await freePort();
  start = spawn('npm', ['start'], {
    cwd: clone,
    env: { ...env, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  for (const stream of [start.stdout!, start.stderr!])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
});

afterAll(async () => {
  if (start.exitCode === null) process.kill(-start.pid!, 'SIGKILL');
  await rm(clone, { recursive: true, force: true });
});

it(
  'npm start serves, and the three printed commands deploy and call a function',
  { timeout: 300_000 },
  async () => {
    const commands = await eventually(
      () => {
        if (start.exitCode !== null) throw new Error(`npm start ended: ${output}`);
        const found = [...output.matchAll(/^ {2}((?:npx|echo|curl) .+)$/gm)].map((match) => match[1]!);
        if (found.length !== 3) throw new Error(`not three commands yet: ${output}`);
        return found;
      },
      280_000,
      500,
    );
    let last = '';
    for (const command of commands) last = (await run('bash', ['-c', command], { cwd: clone, env })).stdout;
    expect(last).toContain('Hello');
    expect(output).toContain(`http://127.0.0.1:${port}`);
  },
);

it('Ctrl-C stops it, and no sandbox is left', { timeout: 60_000 }, async () => {
  const instance = instanceOf(join(clone, 'data'));
  const before = sandboxProcesses(instance).size;
  expect(before).toBeGreaterThan(0);
  const ended = new Promise((resolve) => start.once('exit', resolve));
  process.kill(-start.pid!, 'SIGINT'); // a terminal sends it to the whole group
  await ended;
  await eventually(() => expect(sandboxProcesses(instance).size).toBe(0), 5_000);
});

// Of all tests a few: that all of them pass is what this run asks itself.
it('npm test runs there', { timeout: 300_000 }, async () => {
  const { stdout } = await run('npm', ['test', '--', '--project', 'unit', 'src/kernel/'], {
    cwd: clone,
    env,
  });
  expect(stripVTControlCharacters(stdout)).toMatch(/Test Files +\d+ passed \(\d+\)/);
});
