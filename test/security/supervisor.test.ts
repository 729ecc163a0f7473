/** What a process that parses hostile input may do when the platform was started as root, and what becomes of each half. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isRunning, runDirOf } from '../support/host.ts';
import { eventually, projectRoot, type TestPlatform } from '../support/platform.ts';
import { Arena } from './arena.ts';

/** `npm run chaos` holds the five seconds of the promise; a machine that runs other tests as well may take longer. */
const RECOVERED_MS = 30_000;
const isRoot = process.geteuid?.() === 0;
if (!isRoot) console.warn('tests of the separate server are skipped: they want root');

let platform: TestPlatform;
const arena = Arena.prepare();

beforeAll(async () => {
  ({ platform } = arena);
  await platform.deploy('victim', 'kept', 'module.exports = (ctx, cb) => cb(null, ctx.secrets)', {
    secrets: { A: 'b' },
  });
  arena.residents += 1;
});
// The victim's two sandboxes are there for the looks of the arena, whatever was killed.
beforeEach(served);
afterEach(served);

async function served(): Promise<void> {
  const response = await platform.call('victim', 'kept');
  expect([response.status, await response.json()]).toEqual([200, { A: 'b' }]);
}

function status(pid: number): Record<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n');
  return Object.fromEntries(lines.map((line) => line.split(':\t') as [string, string]));
}

/** Runs a program as the server runs: its user, its namespaces, its mounts. @returns what it printed */
function asServer(code: string): string {
  const { Uid } = status(platform.pid);
  const uid = Uid!.split('\t')[0]!;
  const enter = ['--mount', `--target=${platform.pid}`, 'setpriv', `--reuid=${uid}`, `--regid=${uid}`];
  const words = [...enter, '--clear-groups', '--no-new-privs', process.execPath, '-e', code];
  const { stdout, stderr } = spawnSync('nsenter', words, { encoding: 'utf8', cwd: '/' });
  return stdout.trim() || stderr;
}

describe.skipIf(!isRoot)('the server of a platform that root started', () => {
  it('is not root, has no capability and cannot get one', () => {
    const found = status(platform.pid);
    for (const id of ['Uid', 'Gid'])
      expect(found[id]!.split('\t').map(Number)).toEqual(Array(4).fill(299_999));
    expect(found['Groups']!.trim()).toBe('');
    for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect([name, Number.parseInt(found[name]!, 16)]).toEqual([name, 0]);
    expect(found['NoNewPrivs']).toBe('1');
    expect(status(platform.supervisorPid)['Uid']).toMatch(/^0\t0/);
  });

  it('cannot read the master key, nor take it away, nor change what runs in sandboxes', () => {
    const attempt = (operation: string, path: string): string =>
      asServer(
        `try { require('fs').${operation}; console.log('done') } catch (error) { console.log(error.code) }`.replaceAll(
          'PATH',
          JSON.stringify(path),
        ),
      );
    const key = join(platform.dataDir, 'master-key');
    expect(statSync(key).uid).toBe(0);
    expect(statSync(key).mode & 0o777).toBe(0o600);
    expect(attempt('readFileSync(PATH)', key)).toBe('EACCES');
    expect(attempt('renameSync(PATH, PATH + ".old")', key)).toBe('EPERM');
    expect(attempt('rmSync(PATH)', key)).toBe('EPERM');
    expect(attempt('renameSync(PATH, PATH + ".old")', join(platform.dataDir, 'cache'))).toBe('EPERM');
    expect(attempt('writeFileSync(PATH, "")', join(platform.dataDir, 'cache', 'x'))).toBe('EACCES');
    expect(attempt('writeFileSync(PATH, "")', join(runDirOf(platform.dataDir), 'records', 'x'))).toBe(
      'EACCES',
    );
    expect(attempt('readFileSync(PATH)', '/etc/shadow')).toBe('EACCES');
    // The same words read what the server may read: the attempts above fail for want of rights.
    expect(attempt('readFileSync(PATH)', join(platform.dataDir, 'berth.db'))).toBe('done');
    expect(attempt('readFileSync(PATH)', join(projectRoot, 'package.json'))).toBe('done');
  });

  it('gets nothing of root’s environment but what it needs', () => {
    const names = readFileSync(`/proc/${platform.pid}/environ`, 'utf8').split('\0').filter(Boolean);
    for (const name of names) expect(name).toMatch(/^(PATH|TZ|TERM|LANG|LC_\w+|NO_COLOR|FORCE_COLOR)=/);
    expect(readFileSync(`/proc/${platform.pid}/cmdline`, 'utf8')).not.toContain(platform.dataDir);
  });

  it('leaves the operator’s token as it is documented: mode 0600', () => {
    expect(statSync(join(platform.dataDir, 'admin-token')).mode & 0o777).toBe(0o600);
  });
});

/** On a connection of its own. @returns the status, or the code of the failure */
function callOnce(url: string): Promise<string> {
  return new Promise((resolve) => {
    get(url, { agent: false, timeout: RECOVERED_MS }, (response) => {
      response.resume().once('close', () => resolve(String(response.statusCode)));
    })
      .once('timeout', () => resolve('hang'))
      .once('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? ''));
  });
}

describe('kill -9', () => {
  // Connections to what is killed are cut.
  beforeEach(() => arena.endWatch());

  it('of the server: another serves, and no sandbox of the first is left', async () => {
    const [server, before] = [platform.pid, [...platform.sandboxes().values()].flat()];
    process.kill(server, 'SIGKILL');
    const killedAt = performance.now();
    await eventually(served, RECOVERED_MS);
    expect(performance.now() - killedAt).toBeLessThan(RECOVERED_MS);
    expect(platform.pid).not.toBe(server);
    expect(before.filter(isRunning)).toEqual([]);
  });

  it('of the server, while clients call: who connects then waits for the next one, and nobody is refused', async () => {
    const server = platform.pid;
    const outcomes = new Map<string, number>();
    const over = new AbortController();
    const client = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const outcome = await callOnce(`${platform.url}/healthz`);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    };
    const clients = Array.from({ length: 8 }, client);
    process.kill(server, 'SIGKILL');
    await eventually(() => expect(platform.pid).not.toBe(server), RECOVERED_MS);
    await eventually(served, RECOVERED_MS);
    over.abort();
    await Promise.all(clients);
    // What was open to the killed one is cut, at most once each; nothing can give its state to another.
    expect([...outcomes.keys()].filter((outcome) => !/^(?:200|ECONNRESET|EPIPE)$/.test(outcome))).toEqual([]);
    expect(outcomes.get('200')).toBeGreaterThan(8);
  });

  it('of the server, again and again: every time another serves', async () => {
    for (let time = 0; time < 4; time++) {
      process.kill(platform.pid, 'SIGKILL');
      await eventually(served, RECOVERED_MS);
    }
  });

  it('of the supervisor: the server says so and ends, no sandbox is left, and a new start serves', async () => {
    const [server, before] = [platform.pid, [...platform.sandboxes().values()].flat()];
    const said: unknown[] = [];
    process.kill(platform.supervisorPid, 'SIGKILL');
    await eventually(async () => {
      const response = await fetch(`${platform.url}/readyz`).catch(() => null);
      if (response?.status === 503) said.push(await response.json());
      expect(isRunning(server)).toBe(false);
    }, RECOVERED_MS);
    expect(said).toContainEqual({ isReady: false, reasons: ['the supervisor is gone'] });
    expect(platform.output).toContain('the supervisor ended');
    await eventually(() => expect(before.filter(isRunning)).toEqual([]), RECOVERED_MS);
    const startedAt = performance.now();
    await platform.restart();
    await served();
    expect(performance.now() - startedAt).toBeLessThan(RECOVERED_MS);
    await platform.end('SIGTERM');
    expect(await platform.leftovers()).toEqual([]);
    expect(existsSync(runDirOf(platform.dataDir))).toBe(false);
    await platform.restart();
  });
});
