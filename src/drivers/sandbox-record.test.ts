import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { asSandboxId } from '../contracts/ids.ts';
import { identityOf } from './process-identity.ts';
import { recoverSandboxes } from './recovery.ts';
import { type SandboxRecord, SandboxRecords } from './sandbox-record.ts';

const id = asSandboxId('s0123456789ab');
/** No process has this start time: the platform is dead, the process ended and its pid went to another. */
const dead = { pid: process.pid, startTicks: '1' };

let runDir: string;
let records: SandboxRecords;
const warnings: string[] = [];
const log = { info: () => undefined, warn: (_: unknown, message: string) => void warnings.push(message) };

beforeEach(async () => {
  runDir = mkdtempSync(join(tmpdir(), 'berth-records-'));
  records = new SandboxRecords(runDir);
  await records.prepare();
  warnings.splice(0);
});
afterEach(() => rmSync(runDir, { recursive: true }));

function recordWith(change: Partial<SandboxRecord>): SandboxRecord {
  const channelDir = join(runDir, id);
  return { version: 1, id, platform: dead, process: dead, channelDir, cgroups: [], tmpDir: null, ...change };
}

const recover = (): Promise<readonly string[]> =>
  recoverSandboxes({ records, runDir, groupName: 'berth-test', log });

test('a record comes back as it was written', async () => {
  const record = recordWith({ cgroups: ['/sys/fs/cgroup/x'] });
  await records.write(record);
  expect(await records.list(() => expect.unreachable())).toEqual([record]);
  await records.remove(id);
  await records.remove(id);
  await records.close();
  expect(readdirSync(runDir)).toEqual([]);
});

test('a record that a crash cut, or of another version, is told and removed', async () => {
  const broken: string[] = [];
  writeFileSync(join(runDir, 'records', 'sbroken00000.json'), '{"version":1,"id"');
  writeFileSync(
    join(runDir, 'records', 'sother000000.json'),
    JSON.stringify({ ...recordWith({}), version: 2 }),
  );
  expect(await records.list((name) => broken.push(name))).toEqual([]);
  expect(broken.sort()).toEqual(['sbroken00000.json', 'sother000000.json']);
  expect(readdirSync(join(runDir, 'records'))).toEqual([]);
});

test('a record that a killed platform did not finish is removed; one that is being written is not', async () => {
  const { pid, startTicks } = identityOf(process.pid)!;
  const writing = `sliving000000.${pid}-${startTicks}.new`;
  for (const name of [`sdead00000000.${dead.pid}-${dead.startTicks}.new`, 'sodd000000000.json.new', writing])
    writeFileSync(join(runDir, 'records', name), '{"version":1');
  expect(await recover()).toEqual([]);
  expect(readdirSync(join(runDir, 'records'))).toEqual([writing]);
});

test('a process that only has the pid of a dead sandbox is left alone', async () => {
  mkdirSync(join(runDir, id));
  await records.write(recordWith({}));
  expect(await recover()).toEqual([id]);
  expect(existsSync(join(runDir, id))).toBe(false);
  expect(warnings).toEqual([]);
});

test('sandboxes of a platform that lives are its own business', async () => {
  await records.write(recordWith({ platform: identityOf(process.pid)! }));
  expect(await recover()).toEqual([]);
  expect(await records.list(() => expect.unreachable())).toHaveLength(1);
});

test('what the driver process started is found by its temporary directory, whichever driver recovers', async () => {
  const tmpDir = join(runDir, `tmp-${id}`);
  const stray = spawn('sleep', ['60'], { env: { ...process.env, TMPDIR: tmpDir }, stdio: 'ignore' });
  const ended = new Promise((resolve) => stray.once('exit', (_, signal) => resolve(signal)));
  await new Promise((resolve) => stray.once('spawn', resolve));
  await records.write(recordWith({ tmpDir }));
  expect(await recover()).toEqual([id]);
  expect(stray.kill()).toBe(false);
  expect(await ended).toBe('SIGKILL');
});

test('a control group that is not called like ours is not touched', async () => {
  const foreign = join(runDir, 'foreign', id);
  mkdirSync(foreign, { recursive: true });
  await records.write(recordWith({ cgroups: [foreign] }));
  expect(await recover()).toEqual([]);
  expect(existsSync(foreign)).toBe(true);
  expect(warnings).toEqual(['a left-over sandbox could not be removed']);
});

test('a directory outside the run directory stays', async () => {
  const outside = mkdtempSync(join(tmpdir(), 'berth-outside-'));
  await records.write(recordWith({ channelDir: outside }));
  expect(await recover()).toEqual([id]);
  expect(existsSync(outside)).toBe(true);
  rmSync(outside, { recursive: true });
});
