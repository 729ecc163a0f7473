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

/**
 * How strong a tenant's wall is. `standard`: the host's kernel, behind every isolation above. `hardened`: system calls end
 * in a kernel of the sandbox's own (gVisor).
 */
export const isolationTiers = ['standard', 'hardened'] as const;
export type IsolationTier = (typeof isolationTiers)[number];
