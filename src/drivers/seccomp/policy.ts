/**
 * The system calls that a sandbox may make. Readable as a table: each group says why it is there. Whatever is not named
 * answers ENOSYS, as on an older kernel, so that glibc and libuv take their fallbacks; what is refused by name answers EPERM.
 * Measured, not copied: `npm run seccomp:measure` traces Node over what tenants' code does, and `measured.json` keeps what
 * it saw; a test holds the two against each other. `relatives` were not seen: the same deed by a newer, older or wider call
 * that another version of libuv or of the C library, another processor or a native addon chooses instead.
 */
import type { SyscallName } from './syscall-numbers.ts';

export type Errno = 'EPERM' | 'ENOSYS';
export const errnos: Readonly<Record<Errno, number>> = { EPERM: 1, ENOSYS: 38 };

export interface SyscallGroup {
  readonly name: string;
  readonly reason: string;
  readonly syscalls: readonly SyscallName[];
}

export interface AllowedGroup extends SyscallGroup {
  /** Allowed too, although the measurement did not meet them. */
  readonly relatives: readonly SyscallName[];
}

/** True when `(argument & mask)` is one of the values. The kernel reads these arguments as 32 bits, so do we. */
export interface ArgumentTest {
  readonly argument: 0 | 1 | 2 | 3 | 4 | 5;
  readonly mask?: number;
  readonly oneOf: readonly number[];
}

/** Allowed when every test holds. */
export interface CheckedSyscall {
  readonly syscall: SyscallName;
  readonly reason: string;
  readonly allowWhen: readonly ArgumentTest[];
  readonly otherwise: Errno;
}

export interface SeccompPolicy {
  readonly allowed: readonly AllowedGroup[];
  readonly checked: readonly CheckedSyscall[];
  readonly refused: readonly SyscallGroup[];
  /** for calls that the policy does not name */
  readonly unknown: Errno;
  /** for calls of another ABI: i386 on x86-64, x32, 32-bit ARM */
  readonly foreign: Errno;
}

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (linux/sched.h). */
const NAMESPACE_FLAGS = 0x7e02_0000;
/** AF_UNIX, AF_INET, AF_INET6 */
const SOCKET_FAMILIES = [1, 2, 10];
/** Low bits of a socket's type; the others are SOCK_CLOEXEC and SOCK_NONBLOCK. */
const SOCKET_TYPE_MASK = 0xf;
/** SOCK_STREAM, SOCK_DGRAM */
const SOCKET_TYPES = [1, 2];
/** default, TCP, UDP: other protocols would load kernel modules */
const SOCKET_PROTOCOLS = [0, 6, 17];

export const seccompPolicy: SeccompPolicy = {
  unknown: 'ENOSYS',
  foreign: 'EPERM',
  allowed: [
    {
      name: 'files',
      reason: 'fs, module loading; what may be seen is decided by the mount namespace',
      syscalls: [
        ...(['openat', 'close', 'read', 'write', 'readv', 'writev', 'pread64'] as const),
        ...(['pwrite64', 'preadv', 'pwritev', 'lseek', 'stat', 'lstat', 'fstat'] as const),
        ...(['newfstatat', 'statx', 'statfs', 'access', 'readlink', 'getdents64'] as const),
        ...(['mkdir', 'rmdir', 'rename', 'unlink', 'unlinkat', 'link', 'symlink'] as const),
        ...(['chmod', 'fchmod', 'chown', 'fchown', 'lchown', 'utimensat', 'ftruncate'] as const),
        ...(['fsync', 'fdatasync', 'copy_file_range', 'dup2', 'fcntl', 'pipe2'] as const),
        ...(['getcwd', 'chdir', 'umask'] as const),
      ],
      relatives: [
        ...(['open', 'creat', 'close_range', 'preadv2', 'pwritev2', 'fstatfs'] as const),
        ...(['faccessat', 'faccessat2', 'readlinkat', 'getdents', 'mkdirat', 'renameat'] as const),
        ...(['renameat2', 'linkat', 'symlinkat', 'fchmodat', 'fchmodat2', 'fchownat'] as const),
        ...(['utime', 'utimes', 'futimesat', 'truncate', 'fallocate', 'fadvise64'] as const),
        ...(['flock', 'sendfile', 'dup', 'dup3', 'pipe', 'fchdir'] as const),
      ],
    },
    {
      name: 'events',
      reason: 'the event loop of libuv, fs.watch, signals as descriptors',
      syscalls: [
        ...(['epoll_create1', 'epoll_ctl', 'epoll_pwait', 'eventfd2', 'inotify_init1'] as const),
        ...(['inotify_add_watch', 'inotify_rm_watch'] as const),
      ],
      relatives: [
        ...(['epoll_create', 'epoll_wait', 'epoll_pwait2', 'poll', 'ppoll', 'select'] as const),
        ...(['pselect6', 'eventfd', 'signalfd', 'signalfd4', 'inotify_init'] as const),
        ...(['timerfd_create', 'timerfd_settime', 'timerfd_gettime'] as const),
      ],
    },
    {
      name: 'sockets',
      reason: 'the channel and the loopback of the network namespace; making one is checked below',
      syscalls: [
        ...(['bind', 'listen', 'accept4', 'connect', 'shutdown', 'getsockname'] as const),
        ...(['getpeername', 'getsockopt', 'setsockopt', 'sendto', 'recvfrom', 'sendmsg'] as const),
        ...(['recvmsg'] as const),
      ],
      relatives: ['accept', 'sendmmsg', 'recvmmsg'],
    },
    {
      name: 'memory',
      reason: 'heap, JIT, WebAssembly, shared array buffers; the amount is the memory cgroup’s business',
      syscalls: ['brk', 'mmap', 'munmap', 'mprotect', 'madvise'],
      relatives: [
        ...(['mremap', 'msync', 'mincore', 'mlock', 'munlock', 'membarrier'] as const),
        ...(['memfd_create', 'pkey_alloc', 'pkey_free', 'pkey_mprotect'] as const),
      ],
    },
    {
      name: 'threads-and-processes',
      reason:
        'workers and child processes; their number is the pids cgroup’s business, clone is checked below',
      syscalls: [
        ...(['execve', 'exit', 'exit_group', 'wait4', 'futex', 'set_robust_list'] as const),
        ...(['set_tid_address', 'rseq', 'arch_prctl', 'sched_getaffinity'] as const),
        ...(['sched_getparam', 'sched_getscheduler', 'getpriority', 'setpriority'] as const),
        ...(['prlimit64', 'getrusage', 'setsid'] as const),
      ],
      relatives: [
        ...(['fork', 'vfork', 'waitid', 'futex_waitv', 'sched_yield'] as const),
        ...(['sched_get_priority_max', 'sched_get_priority_min', 'getrlimit'] as const),
        ...(['setrlimit', 'times', 'getcpu', 'getsid', 'setpgid', 'getpgid', 'getpgrp'] as const),
      ],
    },
    {
      name: 'signals',
      reason: 'process.on(signal), process.kill: only processes of the same pid namespace can be named',
      syscalls: ['rt_sigaction', 'rt_sigprocmask', 'rt_sigreturn', 'kill', 'tgkill'],
      relatives: [
        ...(['rt_sigpending', 'rt_sigsuspend', 'rt_sigtimedwait', 'sigaltstack'] as const),
        ...(['tkill', 'pause', 'alarm', 'setitimer', 'getitimer', 'restart_syscall'] as const),
      ],
    },
    {
      name: 'who-and-when',
      reason: 'ids, clocks, randomness, the size of the machine',
      syscalls: [
        ...(['getpid', 'gettid', 'getuid', 'geteuid', 'getgid', 'getegid', 'getgroups'] as const),
        ...(['capget', 'clock_nanosleep', 'getrandom', 'uname', 'sysinfo'] as const),
      ],
      relatives: [
        ...(['getppid', 'getresuid', 'getresgid', 'clock_gettime', 'clock_getres'] as const),
        ...(['nanosleep', 'gettimeofday', 'time'] as const),
      ],
    },
  ],
  checked: [
    {
      syscall: 'clone',
      reason:
        'threads and forks, but no new namespace: a user namespace gives capabilities over fresh kernel objects',
      allowWhen: [{ argument: 0, mask: NAMESPACE_FLAGS, oneOf: [0] }],
      otherwise: 'EPERM',
    },
    {
      syscall: 'socket',
      reason: 'no raw, packet, netlink, vsock, alg … sockets (os.networkInterfaces() asks netlink and fails)',
      allowWhen: [
        { argument: 0, oneOf: SOCKET_FAMILIES },
        { argument: 1, mask: SOCKET_TYPE_MASK, oneOf: SOCKET_TYPES },
        { argument: 2, oneOf: SOCKET_PROTOCOLS },
      ],
      otherwise: 'EPERM',
    },
    {
      syscall: 'socketpair',
      reason: 'pipes to child processes are pairs of Unix sockets',
      allowWhen: [
        { argument: 0, oneOf: [1] },
        { argument: 1, mask: SOCKET_TYPE_MASK, oneOf: SOCKET_TYPES },
      ],
      otherwise: 'EPERM',
    },
    {
      syscall: 'ioctl',
      reason:
        'TCGETS, TCSETS*, TIOCGWINSZ, FIONREAD, FIONBIO, FIO(N)CLEX, FICLONE; no TIOCSTI, TIOCLINUX or device calls',
      allowWhen: [
        {
          argument: 1,
          oneOf: [0x5401, 0x5402, 0x5403, 0x5404, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451, 0x4004_9409],
        },
      ],
      otherwise: 'EPERM',
    },
    {
      syscall: 'prctl',
      reason:
        'parent-death signal, dumpable, thread names, timer slack, seccomp and no_new_privs queries, THP, names of mappings',
      allowWhen: [{ argument: 0, oneOf: [1, 2, 3, 4, 15, 16, 21, 23, 29, 30, 38, 39, 41, 42, 0x5356_4d41] }],
      otherwise: 'EPERM',
    },
    {
      syscall: 'personality',
      reason: 'asking, and the Linux default; others switch off address randomisation',
      allowWhen: [{ argument: 0, oneOf: [0, 0xffff_ffff] }],
      otherwise: 'EPERM',
    },
    {
      syscall: 'clone3',
      reason: 'its flags are behind a pointer that a filter cannot read; ENOSYS makes glibc call clone',
      allowWhen: [{ argument: 0, oneOf: [] }],
      otherwise: 'ENOSYS',
    },
  ],
  refused: [
    {
      name: 'other-processes',
      reason: 'reading and steering other processes',
      syscalls: ['ptrace', 'process_vm_readv', 'process_vm_writev', 'process_madvise', 'pidfd_getfd', 'kcmp'],
    },
    {
      name: 'namespaces-and-mounts',
      reason: 'new namespaces and mounts open the kernel’s less guarded code',
      syscalls: [
        ...(['unshare', 'setns', 'mount', 'umount2', 'pivot_root', 'chroot', 'mount_setattr'] as const),
        ...(['open_tree', 'move_mount', 'fsopen', 'fsconfig', 'fsmount', 'fspick'] as const),
        ...(['name_to_handle_at', 'open_by_handle_at', 'fanotify_init', 'fanotify_mark'] as const),
      ],
    },
    {
      name: 'kernel-attack-surface',
      reason: 'large interfaces with a history of holes, none of which Node needs',
      syscalls: [
        ...(['io_uring_setup', 'io_uring_enter', 'io_uring_register', 'bpf', 'perf_event_open'] as const),
        ...(['userfaultfd', 'keyctl', 'add_key', 'request_key', 'seccomp', 'memfd_secret'] as const),
        ...(['vmsplice', 'splice', 'tee', 'io_setup', 'io_submit', 'move_pages', 'migrate_pages'] as const),
        ...(['mbind', 'set_mempolicy', 'get_mempolicy', 'modify_ldt', 'iopl', 'ioperm'] as const),
      ],
    },
    {
      name: 'machine',
      reason: 'the machine as a whole',
      syscalls: [
        ...(['kexec_load', 'kexec_file_load', 'init_module', 'finit_module', 'delete_module'] as const),
        ...(['quotactl', 'quotactl_fd', 'acct', 'swapon', 'swapoff', 'reboot', 'syslog', 'vhangup'] as const),
        ...([
          'settimeofday',
          'clock_settime',
          'clock_adjtime',
          'adjtimex',
          'sethostname',
          'setdomainname',
        ] as const),
        ...(['sync', 'syncfs', 'mknod', 'mknodat'] as const),
      ],
    },
    {
      name: 'ipc',
      reason: 'System V and POSIX queues, semaphores and shared memory',
      syscalls: [
        ...(['shmget', 'shmat', 'shmctl', 'shmdt', 'semget', 'semop', 'semctl', 'semtimedop'] as const),
        ...(['msgget', 'msgsnd', 'msgrcv', 'msgctl'] as const),
        ...([
          'mq_open',
          'mq_unlink',
          'mq_timedsend',
          'mq_timedreceive',
          'mq_notify',
          'mq_getsetattr',
        ] as const),
      ],
    },
    {
      name: 'credentials',
      reason: 'there is one user',
      syscalls: [
        ...(['setuid', 'setgid', 'setreuid', 'setregid', 'setresuid', 'setresgid'] as const),
        ...(['setfsuid', 'setfsgid', 'setgroups', 'capset'] as const),
      ],
    },
  ],
};
