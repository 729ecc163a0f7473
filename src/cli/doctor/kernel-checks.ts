/** What the kernel is, and how it is set. */
import { type Check, fail, isAtLeast, ok, warn } from './finding.ts';

/** overlay in a user namespace (docs/adr/0001) */
const LEAST_KERNEL = '5.11';

const kernel: Check = {
  name: 'kernel',
  look(host) {
    const release = host.read('/proc/sys/kernel/osrelease') ?? 'unknown';
    return isAtLeast(release, LEAST_KERNEL)
      ? ok(`Linux ${release}`)
      : fail(
          `Linux ${release}`,
          `run Linux ${LEAST_KERNEL} or newer: sandboxes need overlay mounts in a user namespace`,
        );
  },
};

const seccomp: Check = {
  name: 'seccomp',
  look(host) {
    const actions = host.read('/proc/sys/kernel/seccomp/actions_avail')?.split(/\s+/) ?? [];
    return actions.includes('errno') && actions.includes('allow')
      ? ok('filters are available')
      : fail('there are no filters', 'run a kernel with CONFIG_SECCOMP_FILTER');
  },
};

/** Sandboxes are refused ptrace by seccomp and uid already; Yama is the lock for everything else of the host's users. */
const yama: Check = {
  name: 'yama',
  look(host) {
    const scope = host.read('/proc/sys/kernel/yama/ptrace_scope');
    if (scope === null)
      return warn(
        'not in this kernel',
        'run a kernel with CONFIG_SECURITY_YAMA, so that a process cannot trace others of its user',
      );
    return Number(scope) > 0
      ? ok(`ptrace_scope ${scope}`)
      : warn(`ptrace_scope ${scope}`, 'sysctl kernel.yama.ptrace_scope=1');
  },
};

/** Secrets in memory would reach the disk; and memory limits without a swap limit only slow a bomb down. */
const swap: Check = {
  name: 'swap',
  look(host) {
    const [, ...areas] = (host.read('/proc/swaps') ?? '').split('\n');
    const names = areas.map((line) => line.split(/\s+/)[0]!).filter((name) => name !== '');
    return names.length === 0
      ? ok('none')
      : warn(
          names.join(', '),
          'swapoff -a, or encrypt it: memory with secrets of tenants may be written to it',
        );
  },
};

/** A crash of the platform, not of sandboxes: those have a core limit that keeps the handler away, too. */
const cores: Check = {
  name: 'core dumps',
  look(host) {
    const pattern = host.read('/proc/sys/kernel/core_pattern') ?? '';
    const limit =
      /^Max core file size\s+(\S+)/m.exec(host.read('/proc/self/limits') ?? '')?.[1] ?? 'unlimited';
    const found = `core_pattern "${pattern}", limit ${limit}`;
    if (pattern.startsWith('|'))
      return warn(
        found,
        'the memory of a crashed platform, keys included, goes to that program: sysctl kernel.core_pattern=core and ulimit -c 0',
      );
    return limit === '0' || pattern === ''
      ? ok(found)
      : warn(found, 'ulimit -c 0 (systemd: LimitCORE=0) for the platform: a dump holds its keys');
  },
};

export const kernelChecks: readonly Check[] = [kernel, seccomp, yama, swap, cores];
