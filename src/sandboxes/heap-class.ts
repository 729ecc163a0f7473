/** Which part of a sandbox's limits the driver sets, and which is fixed when its process starts. */
import type { Limits } from '../contracts/limits.ts';
import type { SandboxLimits } from '../drivers/driver.ts';

const MiB = 1024 * 1024;
/** The rest is for buffers, code, stacks, `/tmp` and the runtime: V8 must give up before the kernel kills. */
const HEAP_SHARE = 0.75;

/** V8's old-space limit in MiB for a sandbox with this much memory. Sandboxes of one heap class can replace each other. */
export function heapMbFor(memoryBytes: number): number {
  return Math.max(16, Math.floor((memoryBytes / MiB) * HEAP_SHARE));
}

export function sandboxLimitsOf(limits: Limits): SandboxLimits {
  const { memoryBytes, cpuMillis, pids, tmpBytes, tmpInodes } = limits;
  return { memoryBytes, cpuMillis, pids, tmpBytes, tmpInodes };
}

export function areSameLimits(one: SandboxLimits, other: SandboxLimits): boolean {
  return (
    one.memoryBytes === other.memoryBytes &&
    one.cpuMillis === other.cpuMillis &&
    one.pids === other.pids &&
    one.tmpBytes === other.tmpBytes &&
    one.tmpInodes === other.tmpInodes
  );
}
