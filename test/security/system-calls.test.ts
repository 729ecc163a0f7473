/** Hostile code, cases 17-20: what our filter answers to a program of the tenant's own, call by call; not where gVisor answers. */
import { describe, expect, it } from 'vitest';
import { seccompPolicy } from '../../src/drivers/seccomp/policy.ts';
import { type SyscallName, syscallNumbers } from '../../src/drivers/seccomp/syscall-numbers.ts';
import { Arena } from './arena.ts';
import { isDocker } from '../support/test-driver.ts';
import { answers, buildProbe, call } from './native-probe.ts';

const built = buildProbe();
const probe = built ?? Buffer.alloc(0);
const column = process.arch === 'x64' ? 0 : 1;
const arena = Arena.prepare();

/** PTRACE_ATTACH, PTRACE_SEIZE */
const ATTACH = [16, 0x4206] as const;

describe('17: other processes', () => {
  it.skipIf(built === null)(
    'ptrace, process_vm_readv and pidfd_getfd are refused, whoever is meant',
    async () => {
      const host = arena.platform.pid;
      // The platform, a neighbour, the first process of the own namespace, and the own parent.
      const targets = [host, ...[...arena.platform.sandboxes().values()].flat(), 1, 2];
      const orders = targets.flatMap((pid) => [
        ...ATTACH.map((request) => call('ptrace', request, pid)),
        call('process_vm_readv', pid),
        call('process_vm_writev', pid),
        call('pidfd_getfd', pid, 0),
        call('kcmp', pid, 1),
      ]);
      expect(new Set(await answers(arena, probe, orders))).toEqual(new Set(['EPERM']));
    },
  );
});

describe.skipIf(built === null)('18: the kernel’s doors', () => {
  const refused = seccompPolicy.refused
    .flatMap((group) => group.syscalls)
    .filter((name) => syscallNumbers[name][column] !== null);
  const named: readonly SyscallName[] = [
    ...(['unshare', 'setns', 'mount', 'pivot_root', 'io_uring_setup', 'keyctl', 'add_key', 'bpf'] as const),
    ...(['perf_event_open', 'userfaultfd', 'kexec_load', 'init_module'] as const),
  ];

  it.each(named)('%s is refused', async (name) => {
    expect(await answers(arena, probe, [call(name)])).toEqual(['EPERM']);
  });

  it('so is every other call that the policy refuses by name', async () => {
    const given = await answers(
      arena,
      probe,
      refused.map((name) => call(name)),
    );
    expect(refused.filter((_, index) => given[index] !== 'EPERM')).toEqual([]);
    expect(refused).toEqual(expect.arrayContaining([...named]));
  });

  it.each([
    ['NEWNS', 0x2_0000],
    ['NEWCGROUP', 0x200_0000],
    ['NEWUTS', 0x400_0000],
    ['NEWIPC', 0x800_0000],
    ['NEWUSER', 0x1000_0000],
    ['NEWPID', 0x2000_0000],
    ['NEWNET', 0x4000_0000],
  ])('clone(%s) makes no namespace', async (_name, flag) => {
    // SIGCHLD, and the flag hidden among harmless ones as well.
    expect(await answers(arena, probe, [call('clone', flag | 17), call('clone', flag | 0x700 | 17)])).toEqual(
      ['EPERM', 'EPERM'],
    );
  });

  it('clone3, whose flags no filter can read, is not there', async () => {
    expect(await answers(arena, probe, [call('clone3')])).toEqual(['ENOSYS']);
  });

  it.runIf(process.arch === 'x64')('32-bit and x32 calls are refused', async () => {
    // getpid and, as i386 and x32 number them, mount and ptrace
    const orders = ['i386:20:', 'i386:21:', 'i386:26:', 'x32:39:', 'x32:165:', 'x32:521:'];
    // An engine's filter for containers ends who makes one.
    if (isDocker) {
      for (const order of orders)
        await expect(answers(arena, probe, [order])).rejects.toThrow('killed by SIGSYS');
    } else expect(new Set(await answers(arena, probe, orders))).toEqual(new Set(['EPERM']));
  });

  it('a call that is newer than the policy is not there', async () => {
    expect(await answers(arena, probe, ['native:470:', 'native:1000:'])).toEqual(['ENOSYS', 'ENOSYS']);
  });

  it('a second filter, another personality and a dump of memory cannot be had', async () => {
    const orders = [call('seccomp', 1), call('prctl', 22, 2), call('personality', 0x4_0000)];
    expect(await answers(arena, probe, orders)).toEqual(['EPERM', 'EPERM', 'EPERM']);
  });
});

describe('19: sockets and queues of others', () => {
  it.skipIf(built === null).each([
    ['raw', [2, 3, 1]],
    ['raw IPv6', [10, 3, 58]],
    ['packet', [17, 3, 0]],
    ['netlink', [16, 3, 0]],
    ['vsock', [40, 1, 0]],
    ['alg', [38, 5, 0]],
    ['bluetooth', [31, 3, 0]],
    ['ping', [2, 2, 1]],
    ['MPTCP', [2, 1, 262]],
    ['SCTP', [2, 1, 132]],
  ])('%s sockets are refused', async (_name, args) => {
    expect(await answers(arena, probe, [call('socket', ...args)])).toEqual(['EPERM']);
  });

  it.skipIf(built === null)('System V and POSIX objects of others are out of reach', async () => {
    const orders = (['shmget', 'semget', 'msgget', 'mq_open'] as const).map((name) =>
      call(name, 0x1234, 4096, 0o666),
    );
    expect(new Set(await answers(arena, probe, orders))).toEqual(new Set(['EPERM']));
    const there = await arena.result<string[]>(`
      const fs = require('fs');
      module.exports = (cb) => cb(null, ['/dev/shm', '/dev/mqueue', '/proc/sysvipc/shm'].filter((path) => { try { return fs.readFileSync(path, 'utf8').trim().split('\\n').length > 1; } catch { return false; } }));`);
    expect(there).toEqual([]);
  });
});

describe('20: devices', () => {
  it.skipIf(built === null)('cannot be made, and no keystroke can be put into a terminal', async () => {
    // mknod of /dev/mem's numbers; TIOCSTI, TIOCLINUX, TIOCSETD
    const orders = [
      call('mknodat', 0, 0, 0o20_666, 0x101),
      ...[0x5412, 0x541c, 0x5423].map((request) => call('ioctl', 0, request)),
    ];
    expect(await answers(arena, probe, orders)).toEqual(['EPERM', 'EPERM', 'EPERM', 'EPERM']);
  });
});
