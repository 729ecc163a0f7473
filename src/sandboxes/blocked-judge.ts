/** Is a sandbox that does not answer blocked, short of memory, or is the host too busy to let it answer? Pure. */
import type { Limits } from '../contracts/limits.ts';
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
/** The same where the main thread does not show: gVisor's kernel hands each system call to another thread, so a spin gets no more than 0.75. */
const HIDDEN_SPIN_SHARE = 0.6;
/** A sandbox that the host starves, or that may be about to run out of memory, is given this many times blockedMs. */
const PATIENCE_FACTOR = 5;
/** Of memoryBytes. V8 may have three quarters of it (heap-class.ts); a full heap alone is more than this. */
const CROWDED_SHARE = 2 / 3;
/** Of memoryBytes: more than the young generation takes when a loop makes nothing but garbage. */
const GROWN_SHARE = 1 / 8;
const MICROS_PER_MS = 1_000;
const MILLIS_PER_CORE = 1_000;

/** The share of one core that the sandbox used between two samples, of what its quota lets its main thread have. */
function busyShare(before: UsageSample, after: UsageSample, cpuMillis: number): number {
  const elapsedMs = after.at - before.at;
  if (elapsedMs <= 0) return 0;
  const cores = (after.usage.cpuMicros - before.usage.cpuMicros) / (elapsedMs * MICROS_PER_MS);
  return cores / Math.min(1, cpuMillis / MILLIS_PER_CORE);
}

export interface BlockedCase {
  /** Times blockedMs that a ping was not answered. */
  readonly waited: number;
  /** The first sample since that ping, the one before the last, and the last; null: not measured. */
  readonly first: UsageSample | null;
  readonly before: UsageSample | null;
  readonly after: UsageSample | null;
  readonly limits: Pick<Limits, 'cpuMillis' | 'memoryBytes'>;
}

/**
 * Code that fills its memory blocks its loop too, for the longer the slower the host is: V8 collects garbage several times
 * over before it gives up. Its own end, or the kernel's kill, is the best evidence of that, so it gets the time to come to
 * it; code that merely holds much, and loops, comes to no such end. After that its growth decides.
 */
export function judgeBlocked({ waited, first, before, after, limits }: BlockedCase): Judgement {
  const { cpuMillis, memoryBytes } = limits;
  const isCrowded = after !== null && after.usage.memoryBytes >= memoryBytes * CROWDED_SHARE;
  const hasGrown = first !== null && after !== null && growth(first, after) >= memoryBytes * GROWN_SHARE;
  if (waited >= PATIENCE_FACTOR) return isCrowded && hasGrown ? 'fills-memory' : 'blocks';
  if (waited < 1 || before === null || after === null) return 'wait';
  return isBlocked(before, after, cpuMillis) && !isCrowded && !hasGrown ? 'blocks' : 'wait';
}

export type Judgement = 'wait' | 'blocks' | 'fills-memory';

function growth(first: UsageSample, last: UsageSample): number {
  return last.usage.memoryBytes - first.usage.memoryBytes;
}

/**
 * A main thread that sleeps (Atomics.wait, a synchronous sleep) or is stopped (SIGSTOP) with a ping in its socket will
 * not answer either: its event loop would be awake. Once is not enough: it also sleeps for moments in which other threads
 * of its process collect garbage.
 */
function isBlocked(before: UsageSample, after: UsageSample, cpuMillis: number): boolean {
  if (isAsleep(before) && isAsleep(after)) return true;
  return after.usage.mainThread === 'running' && busyShare(before, after, cpuMillis) >= BUSY_SHARE;
}

function isAsleep({ usage: { mainThread } }: UsageSample): boolean {
  return mainThread === 'sleeping' || mainThread === 'stopped';
}

/**
 * Does a loop that turns do anything but turn? Its own thread must want a core all the time: while it waits for a child process
 * or another thread, what those burn is work. On a busy host a spin gets a part of a core only; so does honest work there,
 * which must have got this much of a core before it is taken for a spin.
 */
export function judgeSpin(
  before: UsageSample,
  after: UsageSample,
  { spinMs, cpuMillis }: Pick<Limits, 'spinMs' | 'cpuMillis'>,
): 'works' | 'unsure' | 'spins' {
  const elapsedMs = after.at - before.at;
  if (elapsedMs <= 0 || isWaiting(before, after)) return 'works';
  const share = busyShare(before, after, cpuMillis);
  const spinShare = after.usage.mainThreadMicros === null ? HIDDEN_SPIN_SHARE : SPIN_SHARE;
  if (share >= spinShare) return 'spins';
  if (share + starvedMs(before, after) / elapsedMs < spinShare) return 'works';
  return share * elapsedMs >= spinMs / PATIENCE_FACTOR ? 'spins' : 'unsure';
}

/** The main thread slept for more than a moment between two samples; false where that does not show. */
function isWaiting(before: UsageSample, after: UsageSample): boolean {
  const [from, to] = [before.usage.mainThreadMicros, after.usage.mainThreadMicros];
  if (from === null || to === null) return false;
  const awakeMs = (to - from) / MICROS_PER_MS + starvedMs(before, after);
  return awakeMs / (after.at - before.at) < SPIN_SHARE;
}

function starvedMs(before: UsageSample, after: UsageSample): number {
  return (after.usage.starvedMicros - before.usage.starvedMicros) / MICROS_PER_MS;
}
