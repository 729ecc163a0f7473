import { spawn } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { asSandboxId } from '../../contracts/ids.ts';
import type { SandboxLimits } from '../driver.ts';
import { identityOf, isAlive } from '../process-identity.ts';
import { type Controller, cpuQuotaMicros } from './cgroup.ts';
import { CgroupTreeV1, type V1Bases } from './cgroup-v1.ts';
import { CgroupTreeV2 } from './cgroup-v2.ts';
import { parseCgroupPlaces } from './cgroup-mounts.ts';

const id = asSandboxId('s0123456789ab');
const limits: SandboxLimits = {
  memoryBytes: 1_000_000,
  cpuMillis: 1_500,
  pids: 40,
  tmpBytes: 1,
  tmpInodes: 1,
};

/** The kernel makes these files with the directory; here they are ordinary ones. */
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-cgroup-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function fakeGroup(base: string, files: Readonly<Record<string, string>>): string {
  const group = join(folder, base, id);
  mkdirSync(group, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(group, name), text);
  return group;
}

describe('version 2', () => {
  const all: ReadonlySet<Controller> = new Set(['memory', 'cpu', 'pids']);

  test('limits are written as the kernel documents them; no swap, killed as one', async () => {
    const files = [
      'memory.max',
      'memory.swap.max',
      'memory.oom.group',
      'cpu.max',
      'pids.max',
      'cgroup.procs',
      'cgroup.freeze',
    ];
    const group = fakeGroup('b', Object.fromEntries(files.map((name) => [name, ''])));
    const made = await new CgroupTreeV2(join(folder, 'b'), all).create(id, limits);
    await made.setFrozen(true);
    expect(readFileSync(join(group, 'cgroup.freeze'), 'utf8')).toBe('1');
    await made.setFrozen(false);
    await made.add(4_711);
    const read = Object.fromEntries(files.map((name) => [name, readFileSync(join(group, name), 'utf8')]));
    expect(read).toEqual({
      'memory.max': '1000000',
      'memory.swap.max': '0',
      'memory.oom.group': '1',
      'cpu.max': '150000 100000',
      'pids.max': '42',
      'cgroup.procs': '4711',
      'cgroup.freeze': '0',
    });
  });

  test('usage and kills for memory are read back', async () => {
    fakeGroup('b', {
      'memory.max': '',
      'cpu.max': '',
      'pids.max': '',
      'memory.current': '5000\n',
      'pids.current': '9\n',
      'cpu.stat': 'usage_usec 1234\nuser_usec 1000\n',
      'memory.events': 'low 0\nhigh 0\noom 4\noom_kill 3\noom_group_kill 1\n',
    });
    const made = await new CgroupTreeV2(join(folder, 'b'), all).create(id, limits);
    expect(await made.usage()).toEqual({ cpuMicros: 1_234, memoryBytes: 5_000, pids: 7 });
    expect(await made.oomKills()).toBe(3);
    rmSync(join(folder, 'b', id), { recursive: true });
    expect(await made.usage()).toBeNull();
    expect(await made.oomKills()).toBe(0);
    await made.remove(100);
  });

  const places = parseCgroupPlaces(
    readFileSync('/proc/self/mountinfo', 'utf8'),
    readFileSync('/proc/self/cgroup', 'utf8'),
  );
  const real = places.v2 !== null && isWritable(places.v2.own) ? places.v2.own : null;
  if (real === null)
    console.warn('a test of real control groups v2 is skipped: there are none that can be written');

  test.skipIf(real === null)('a real group is emptied, forks included, and removed', async () => {
    const base = join(real!, `berth-test-${process.pid}`);
    mkdirSync(base);
    const tree = new CgroupTreeV2(base, new Set());
    const group = await tree.create(id, limits);
    const child = spawn('sh', ['-c', 'read go; sleep 60 & sleep 60'], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const identity = identityOf(child.pid!)!;
    await group.add(child.pid!);
    child.stdin.end('\n');
    const end = performance.now() + 5_000;
    while (
      readFileSync(join(base, id, 'cgroup.procs'), 'utf8')
        .trim()
        .split('\n').length < 3
    ) {
      if (performance.now() > end) throw new Error('the children did not start');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect((await group.usage())!.cpuMicros).toBeGreaterThan(0);
    await group.remove(5_000);
    expect(isAlive(identity)).toBe(false);
    expect(existsSync(join(base, id))).toBe(false);
    await tree.close();
    expect(existsSync(base)).toBe(false);
  });
});

describe('version 1', () => {
  const bases = (): V1Bases => ({
    memory: join(folder, 'memory'),
    cpu: join(folder, 'cpu'),
    cpuacct: join(folder, 'cpu'),
    pids: null,
    freezer: null,
  });

  test('limits go to each hierarchy that is there; memory and swap share one limit', async () => {
    const memory = fakeGroup('memory', {
      'memory.limit_in_bytes': '9223372036854771712',
      'memory.memsw.limit_in_bytes': '',
      'memory.swappiness': '60',
    });
    const cpu = fakeGroup('cpu', {
      'cpu.cfs_period_us': '',
      'cpu.cfs_quota_us': '',
      'cpuacct.usage': '7000000',
    });
    const tree = new CgroupTreeV1(bases());
    expect([...tree.available]).toEqual(['memory', 'cpu']);
    expect(tree.pathsOf(id)).toEqual([memory, cpu]);
    const group = await tree.create(id, limits);
    expect(readFileSync(join(memory, 'memory.limit_in_bytes'), 'utf8')).toMatch(/^1000000/);
    expect(readFileSync(join(memory, 'memory.memsw.limit_in_bytes'), 'utf8')).toBe('1000000');
    expect(readFileSync(join(memory, 'memory.swappiness'), 'utf8')).toMatch(/^0/);
    expect(readFileSync(join(cpu, 'cpu.cfs_quota_us'), 'utf8')).toBe('150000');
    expect(await group.usage()).toBeNull(); // no memory.usage_in_bytes here
    expect(tree.canFreeze).toBe(false);
    await group.setFrozen(true);
  });

  test('the freezer is a hierarchy of its own', async () => {
    const freezer = fakeGroup('freezer', { 'freezer.state': '' });
    const none = { memory: null, cpu: null, cpuacct: null, pids: null };
    const tree = new CgroupTreeV1({ ...none, freezer: join(folder, 'freezer') });
    expect(tree.canFreeze).toBe(true);
    expect([...tree.available]).toEqual([]);
    expect(tree.pathsOf(id)).toEqual([freezer]);
    const group = await tree.create(id, limits);
    const state = (): string => readFileSync(join(freezer, 'freezer.state'), 'utf8');
    await group.setFrozen(true);
    expect(state()).toBe('FROZEN');
    await group.setFrozen(false);
    expect(state()).toBe('THAWED');
    rmSync(freezer, { recursive: true });
    await group.setFrozen(true); // gone: nothing happens
  });
});

test('a limit that the kernel refuses does not keep the others from being set', async () => {
  const files = { 'memory.max': '', 'pids.max': '' };
  const v2 = fakeGroup('b', files);
  const all: ReadonlySet<Controller> = new Set(['memory', 'cpu', 'pids']);
  await expect(new CgroupTreeV2(join(folder, 'b'), all).create(id, limits)).rejects.toThrow(/cpu\.max/);
  expect(readFileSync(join(v2, 'memory.max'), 'utf8')).toBe('1000000');
  expect(readFileSync(join(v2, 'pids.max'), 'utf8')).toBe('42');
});

test('the kernel takes no quota below a millisecond', () => {
  expect(cpuQuotaMicros(1)).toBe(1_000);
  expect(cpuQuotaMicros(50)).toBe(5_000);
  expect(cpuQuotaMicros(2_000)).toBe(200_000);
});

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
