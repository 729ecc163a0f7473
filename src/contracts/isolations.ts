/** The isolations that design section 6 names, by the names that operators write into `acceptGaps`. No I/O. */
export const isolations = [
  'own-uid',
  'user-namespace',
  'pid-namespace',
  'mount-namespace',
  'network-namespace',
  'ipc-namespace',
  'uts-namespace',
  'cgroup-namespace',
  'no-capabilities',
  'no-new-privileges',
  'seccomp',
  'read-only-root',
  'tmp-limit',
  'memory-limit',
  'cpu-limit',
  'pids-limit',
  'dies-with-platform',
] as const;
export type Isolation = (typeof isolations)[number];
