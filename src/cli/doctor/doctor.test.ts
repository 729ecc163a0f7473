import { afterAll, describe, expect, it } from 'vitest';
import { Terminal } from '../testing/terminal.ts';
import { examine } from './doctor.ts';
import { type Finding, type Host, isAtLeast, levels, worstOf } from './finding.ts';

const MiB = 1024 * 1024;

interface Machine {
  readonly files?: Readonly<Record<string, string | null>>;
  /** programs that fail or are missing, by the start of their command line */
  readonly broken?: readonly string[];
  readonly host?: Partial<Host>;
}

const goodFiles: Readonly<Record<string, string | null>> = {
  '/proc/sys/kernel/osrelease': '6.1.0-18-amd64',
  '/proc/sys/kernel/seccomp/actions_avail': 'kill_process kill_thread trap errno user_notif trace log allow',
  '/proc/sys/kernel/yama/ptrace_scope': '1',
  '/proc/swaps': 'Filename\tType\tSize\tUsed\tPriority',
  '/proc/sys/kernel/core_pattern': 'core',
  '/proc/self/limits':
    'Limit                     Soft Limit           Hard Limit           Units\nMax core file size        0                    unlimited            bytes\nMax open files            1024                 1048576              files',
  '/proc/self/cgroup': '0::/user.slice/berth.scope',
  '/sys/fs/cgroup/cgroup.controllers': 'cpuset cpu io memory pids',
  '/sys/fs/cgroup/user.slice/berth.scope/cgroup.controllers': 'cpu memory pids',
};

/** A Debian 12 that has everything, but for what is said. */
function findingsOn({ files = {}, broken = [], host = {} }: Machine): Readonly<Record<string, Finding>> {
  const all = { ...goodFiles, ...files };
  const machine: Host = {
    isRoot: true,
    nodeVersion: 'v24.21.0',
    dataDir: '/srv/berth',
    read: (path) => all[path] ?? null,
    isWritable: () => true,
    run(command, ...args) {
      const line = [command, ...args].join(' ');
      if (broken.some((start) => line.startsWith(start))) return null;
      return line === 'bwrap --version' ? 'bubblewrap 0.8.0\n' : '';
    },
    freeBytes: () => 50_000 * MiB,
    ...host,
  };
  return Object.fromEntries(examine(machine).map((finding) => [finding.check, finding]));
}

it('a good host has nothing to change', () => {
  const findings = Object.values(findingsOn({}));
  expect(findings.filter(({ level }) => level !== 'ok')).toEqual([]);
  expect(findings.filter(({ wayOut }) => wayOut !== null)).toEqual([]);
  expect(worstOf(findings)).toBe('ok');
});

it.each<[check: string, level: string, machine: Machine, wayOut: RegExp]>([
  ['kernel', 'fail', { files: { '/proc/sys/kernel/osrelease': '5.10.0-28-amd64' } }, /5\.11/],
  ['seccomp', 'fail', { files: { '/proc/sys/kernel/seccomp/actions_avail': null } }, /CONFIG_SECCOMP_FILTER/],
  ['yama', 'warn', { files: { '/proc/sys/kernel/yama/ptrace_scope': '0' } }, /ptrace_scope=1/],
  ['yama', 'warn', { files: { '/proc/sys/kernel/yama/ptrace_scope': null } }, /CONFIG_SECURITY_YAMA/],
  ['swap', 'warn', { files: { '/proc/swaps': 'Filename Type\n/dev/sda2 partition 1 0 -2' } }, /swapoff/],
  [
    'core dumps',
    'warn',
    { files: { '/proc/sys/kernel/core_pattern': '|/usr/lib/systemd/systemd-coredump' } },
    /core_pattern=core/,
  ],
  [
    'core dumps',
    'warn',
    {
      files: {
        '/proc/self/limits': 'Max core file size        unlimited            unlimited            bytes',
      },
    },
    /ulimit -c 0/,
  ],
  ['user namespaces', 'fail', { broken: ['unshare --user'] }, /allow them/],
  [
    'user namespaces',
    'fail',
    { broken: ['unshare --user'], files: { '/proc/sys/kernel/unprivileged_userns_clone': '0' } },
    /unprivileged_userns_clone=1/,
  ],
  [
    'user namespaces',
    'fail',
    { broken: ['unshare --user'], files: { '/proc/sys/user/max_user_namespaces': '0' } },
    /max_user_namespaces/,
  ],
  [
    'AppArmor',
    'fail',
    {
      broken: ['bwrap --unshare-user'],
      files: { '/proc/sys/kernel/apparmor_restrict_unprivileged_userns': '1' },
    },
    /apparmor_restrict_unprivileged_userns=0/,
  ],
  ['overlay', 'fail', { broken: ['unshare --user --map-root-user --mount /bin/sh'] }, /CONFIG_OVERLAY_FS/],
  ['overlay', 'fail', { broken: ['unshare --user'] }, /user namespaces/],
  ['cgroups', 'fail', { files: { '/sys/fs/cgroup/cgroup.controllers': 'cpu io' } }, /cgroup_disable/],
  ['cgroups', 'fail', { host: { isRoot: false, isWritable: () => false } }, /Delegate=yes/],
  ['cgroups', 'fail', { files: { '/sys/fs/cgroup/cgroup.controllers': null } }, /mount \/sys\/fs\/cgroup/],
  ['Node.js', 'fail', { host: { nodeVersion: 'v22.1.0' } }, /Node\.js 24/],
  ['bubblewrap', 'fail', { broken: ['bwrap --version'] }, /apt-get install bubblewrap/],
  ['bubblewrap', 'fail', { host: { run: () => 'bubblewrap 0.4.1' } }, /0\.8\.0/],
  ['tools', 'fail', { broken: ['setpriv'] }, /util-linux/],
  ['disk', 'warn', { host: { freeBytes: () => 1_000 * MiB } }, /BERTH_DATA_DIR/],
  ['disk', 'fail', { host: { freeBytes: () => 10 * MiB } }, /BERTH_DATA_DIR/],
  ['disk', 'warn', { host: { freeBytes: () => null } }, /BERTH_DATA_DIR/],
  [
    'open files',
    'warn',
    {
      files: {
        '/proc/self/limits': 'Max open files            1024                 4096                 files',
      },
    },
    /ulimit -Hn/,
  ],
  [
    'open files',
    'fail',
    {
      files: {
        '/proc/self/limits': 'Max open files            256                  512                  files',
      },
    },
    /LimitNOFILE/,
  ],
])('%s: %s where something is missing, with what to change', (check, level, machine, wayOut) => {
  const finding = findingsOn(machine)[check]!;
  expect(finding.level).toBe(level);
  expect(finding.wayOut).toMatch(wayOut);
});

it.each<[what: string, machine: Machine, found: RegExp]>([
  ['an ordinary user with a delegated group', { host: { isRoot: false } }, /delegated/],
  [
    'root on version 1',
    {
      files: {
        '/sys/fs/cgroup/cgroup.controllers': null,
        '/proc/self/cgroup': '4:cpu,cpuacct:/\n3:memory:/a\n2:pids:/\n0::/',
      },
    },
    /version 1/,
  ],
])('cgroups are good for %s', (_what, machine, found) => {
  expect(findingsOn(machine)['cgroups']).toMatchObject({ level: 'ok', found: expect.stringMatching(found) });
});

it('versions are compared as numbers', () => {
  expect(isAtLeast('5.11', '5.11')).toBe(true);
  expect(isAtLeast('5.9.1', '5.11')).toBe(false);
  expect(isAtLeast('6.18.44-fc', '5.11')).toBe(true);
  expect(isAtLeast('0.11.0', '0.8.0')).toBe(true);
  expect(isAtLeast('', '1')).toBe(false);
});

describe('berth doctor', () => {
  const terminal = new Terminal();
  afterAll(() => terminal.remove());

  it('says a line for each check, without a platform, and ends as the worst of them', async () => {
    const { code, stdout } = await terminal.run(['doctor', '--json'], {
      env: { BERTH_URL: 'http://127.0.0.1:9' },
    });
    const { worst, findings } = JSON.parse(stdout) as { worst: string; findings: Finding[] };
    expect(findings.map(({ check }) => check)).toEqual(Object.keys(findingsOn({})));
    expect(worst).toBe(worstOf(findings));
    expect(code).toBe({ ok: 0, warn: 6, fail: 1 }[worst]);
    const text = await terminal.run(['doctor']);
    expect(text.code).toBe(code);
    for (const { check, level, found } of findings.filter((one) => one.check !== 'disk')) {
      expect(levels).toContain(level);
      expect(text.stdout).toContain(`${level.padEnd(4)}  ${check.padEnd(15)}  ${found}`);
    }
  });

  it('looks at the disk of the data folder that is configured', async () => {
    const env = { BERTH_DATA_DIR: '/not/there/yet' };
    const { stdout } = await terminal.run(['doctor'], { env });
    expect(stdout).toMatch(/MiB free at \/not\/there\/yet/);
  });
});
