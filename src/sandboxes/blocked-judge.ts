/** Is a sandbox that does not answer blocked, or is the host too busy to let it answer? Pure. */
import type { SandboxUsage } from '../drivers/driver.ts';

export interface UsageSample {
  readonly usage: SandboxUsage;
  /** monotonic milliseconds */
  readonly at: number;
}

/** Burning this share of what it could get is a loop. */
const BUSY_SHARE = 0.5;
/** Turning, but nothing else: a spin. */
const SPIN_SHARE = 0.9;
/** A sandbox that the host starves is given this many times blockedMs. */
export const STARVED_FACTOR = 5;
const MICROS_PER_MS = 1_000;
const MILLIS_PER_CORE = 1_000;

/** The share of one core that the sandbox used between two samples, of what its quota lets its main thread have. */
export function busyShare(before: UsageSample, after: UsageSample, cpuMillis: number): number {
  const elapsedMs = after.at - before.at;
  if (elapsedMs <= 0) return 0;
  const cores = (after.usage.cpuMicros - before.usage.cpuMicros) / (elapsedMs * MICROS_PER_MS);
  return cores / Math.min(1, cpuMillis / MILLIS_PER_CORE);
}

/**
 * A main thread that sleeps (Atomics.wait, a synchronous sleep) or is stopped (SIGSTOP) with a ping in its socket will
 * not answer either: its event loop would be awake.
 */
export function isBlocked(samples: {
  readonly before: UsageSample;
  readonly after: UsageSample;
  readonly cpuMillis: number;
}): boolean {
  const { before, after, cpuMillis } = samples;
  const { mainThread } = after.usage;
  if (mainThread === 'sleeping' || mainThread === 'stopped') return true;
  return mainThread === 'running' && busyShare(before, after, cpuMillis) >= BUSY_SHARE;
}

export function isSpinning(before: UsageSample, after: UsageSample, cpuMillis: number): boolean {
  return busyShare(before, after, cpuMillis) >= SPIN_SHARE;
}
