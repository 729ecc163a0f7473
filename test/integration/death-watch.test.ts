/** A supervisor that is killed: what no parent-death signal ends is removed all the same; one that ends in order removes it itself. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseCgroupPlaces } from '../../src/drivers/cgroups/cgroup-mounts.ts';
import { identityOf, isAlive, type ProcessIdentity } from '../../src/drivers/process-identity.ts';
import { childOf, isRunning } from '../support/host.ts';
import { eventually, projectRoot } from '../support/platform.ts';

/** Has a sandbox on record that nothing ends but who looks for it, as one whose bubblewrap was killed too early. */
const PROGRAM = `
import { setTimeout as sleep } from 'node:timers/promises';
import { identityOf } from '${projectRoot}src/drivers/process-identity.ts';
import { SandboxRecords } from '${projectRoot}src/drivers/sandbox-record.ts';
import { startDeathWatch } from '${projectRoot}src/supervisor/death-watch.ts';
const [runDir, pid] = process.argv.slice(2);
const watch = startDeathWatch(runDir, console);
const records = new SandboxRecords(runDir);
await records.prepare();
await records.write({
  version: 1, id: 's000000000000001', platform: identityOf(process.pid), process: identityOf(Number(pid)),
  channelDir: runDir + '/channels/s000000000000001', cgroups: [], tmpDir: null,
});
process.on('SIGTERM', () => { watch.release(); process.exitCode = 0; clearInterval(life); });
const life = setInterval(() => undefined, 1_000);
console.log('ready');
`;

let folder: string;
let sandbox: ProcessIdentity;
let supervisor: ChildProcess;
const record = (): string => join(folder, 'records/s000000000000001.json');

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'berth-death-'));
  writeFileSync(join(folder, 'supervisor.mjs'), PROGRAM);
  sandbox = identityOf(spawn('sleep', ['600'], { detached: true, stdio: 'ignore' }).pid!)!;
  supervisor = spawn(process.execPath, [join(folder, 'supervisor.mjs'), folder, String(sandbox.pid)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => supervisor.stdout!.once('data', resolve));
});
afterEach(() => {
  supervisor.kill('SIGKILL');
  if (isAlive(sandbox)) process.kill(sandbox.pid, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

it('removes what is on record after a kill -9', async () => {
  expect([isAlive(sandbox), existsSync(record())]).toEqual([true, true]);
  supervisor.kill('SIGKILL');
  await eventually(() => expect([isAlive(sandbox), existsSync(record())]).toEqual([false, false]));
});

// In version 2 a frozen process can be killed as it is; without root the group cannot be made.
const [mounts, membership] = ['mountinfo', 'cgroup'].map((name) =>
  readFileSync(`/proc/self/${name}`, 'utf8'),
);
const freezer = parseCgroupPlaces(mounts!, membership!).v1.get('freezer');
if (freezer !== undefined && process.geteuid?.() === 0)
  it('removes what is frozen in a group that is not on record, as an engine makes them', async () => {
    const group = join(freezer, `berth-death-${process.pid}`);
    mkdirSync(group);
    try {
      writeFileSync(join(group, 'cgroup.procs'), String(sandbox.pid));
      writeFileSync(join(group, 'freezer.state'), 'FROZEN');
      supervisor.kill('SIGKILL');
      await eventually(() => expect([isAlive(sandbox), existsSync(record())]).toEqual([false, false]));
    } finally {
      writeFileSync(join(group, 'freezer.state'), 'THAWED');
      await eventually(() => rmdirSync(group));
    }
  });

it('touches nothing when the supervisor ends in order', async () => {
  const watch = childOf(supervisor.pid!, 'death-watch-main.ts')!;
  expect(isRunning(watch)).toBe(true);
  const ended = new Promise((resolve) => supervisor.once('exit', resolve));
  supervisor.kill('SIGTERM');
  expect(await ended).toBe(0);
  await eventually(() => expect(isRunning(watch)).toBe(false));
  expect([isAlive(sandbox), existsSync(record())]).toEqual([true, true]);
});
