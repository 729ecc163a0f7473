import { closeSync, fstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { asSandboxId } from '../../contracts/ids.ts';
import { mountTable, openMountTable } from './mount-table.ts';

const limits = { memoryBytes: 1, cpuMillis: 1, pids: 1, tmpBytes: 2_000, tmpInodes: 64 };
const mounts = { lowerDirs: 'runtime-a:base-b', limits, channelDir: '/run/berth-1/channels/s1' };

test('three mounts in their order, as mount reads them', () => {
  expect(mountTable(mounts).split('\n')).toEqual([
    'root /mnt overlay lowerdir=runtime-a:base-b 0 0',
    'tmp /mnt/tmp tmpfs size=2000,nr_inodes=64,mode=1777,nosuid,nodev 0 0',
    '/run/berth-1/channels/s1 /mnt/berth/channel none bind,ro 0 0',
    '',
  ]);
});

test('a directory of any name is one word', () => {
  const table = mountTable({ ...mounts, channelDir: '/run/a b\tc\nd\\e#f' });
  expect(table).toContain('/run/a\\040b\\011c\\012d\\134e\\043f /mnt/berth/channel none bind,ro 0 0');
});

test('the file is open to be read, by any user, and has no name', () => {
  const dir = mkdtempSync(join(tmpdir(), 'berth-mounts-'));
  const fd = openMountTable(dir, asSandboxId('s0123456789ab'), mounts);
  expect(readFileSync(`/proc/self/fd/${fd}`, 'utf8')).toBe(mountTable(mounts));
  expect([fstatSync(fd).mode & 0o777, readdirSync(dir)]).toEqual([0o644, []]);
  closeSync(fd);
  rmSync(dir, { recursive: true });
});
