/** What the kernel tells of a thread's turns on the CPU: /proc/<tid>/schedstat and /proc/<tid>/status (man 5 proc). */
import { readFileSync } from 'node:fs';
import { isMissing } from './process-identity.ts';

export interface ThreadTimes {
  readonly ranMs: number;
  /** It wanted to run, and others did. */
  readonly waitedMs: number;
  /** How often it gave the CPU back by itself, to wait for something. */
  readonly rests: number;
}

const NANOS_PER_MS = 1_000_000;

/** Those of threads that are still there. */
export function threadTimes(threads: readonly number[]): Map<number, ThreadTimes> {
  const times = new Map<number, ThreadTimes>();
  for (const thread of threads) {
    const one = timesOf(thread);
    if (one !== null) times.set(thread, one);
  }
  return times;
}

function timesOf(thread: number): ThreadTimes | null {
  try {
    const [ran = 0, waited = 0] = read(thread, 'schedstat').split(' ').map(Number);
    const rests = /^voluntary_ctxt_switches:\s+(\d+)$/m.exec(read(thread, 'status'))?.[1];
    return { ranMs: ran / NANOS_PER_MS, waitedMs: waited / NANOS_PER_MS, rests: Number(rests ?? 0) };
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

function read(thread: number, file: string): string {
  return readFileSync(`/proc/${thread}/${file}`, 'latin1');
}
