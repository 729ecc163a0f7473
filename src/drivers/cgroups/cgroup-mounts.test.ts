import { expect, test } from 'vitest';
import { parseCgroupPlaces } from './cgroup-mounts.ts';

test('version 2 alone, as on most hosts', () => {
  const mountinfo = '30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n';
  const places = parseCgroupPlaces(mountinfo, '0::/system.slice/berth.service\n');
  expect(places.v2).toEqual({
    own: '/sys/fs/cgroup/system.slice/berth.service',
    mountPoint: '/sys/fs/cgroup',
  });
  expect(places.v1.size).toBe(0);
});

test('version 1 with controllers mounted together, beside an empty version 2', () => {
  const mountinfo = [
    '31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct',
    '32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory',
    '33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
  ].join('\n');
  const places = parseCgroupPlaces(mountinfo, '4:cpu,cpuacct:/\n3:memory:/nested/group\n0::/\n');
  expect(Object.fromEntries(places.v1)).toEqual({
    cpu: '/sys/fs/cgroup/cpu,cpuacct',
    cpuacct: '/sys/fs/cgroup/cpu,cpuacct',
    memory: '/sys/fs/cgroup/memory/nested/group',
  });
  expect(places.v2?.own).toBe('/sys/fs/cgroup/unified');
});

test('a container that sees a part of the tree: paths are relative to that part', () => {
  const mountinfo = '40 39 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw';
  expect(parseCgroupPlaces(mountinfo, '0::/docker/abc/leaf').v2?.own).toBe('/sys/fs/cgroup/leaf');
  expect(parseCgroupPlaces(mountinfo, '0::/elsewhere').v2?.own).toBe('/sys/fs/cgroup');
});

test('no control groups at all', () => {
  expect(parseCgroupPlaces('1 0 0:1 / / rw - ext4 /dev/vda rw', '')).toEqual({ v1: new Map(), v2: null });
});
