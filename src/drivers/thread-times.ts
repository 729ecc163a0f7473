/** What the kernel tells of a thread's turns on the CPU: /proc/<tid>/schedstat and /proc/<tid>/status (man 5 proc). */
import { readNow } from './cgroups/cgroup-files.ts';
import { scheduledTimes } from './process-identity.ts';

export interface ThreadTimes {
  readonly ranMs: number;
  /** It wanted to run, and others did. */
  readonly waitedMs: number;
}

/** Reads files of threads; null: there is no such thread any more. Each read takes some 20 us. */
export interface ThreadReader {
  timesOf(thread: number): ThreadTimes | null;
  /** How often it gave the CPU back by itself, to wait for something. */
  restsOf(thread: number): number | null;
}

const MICROS_PER_MS = 1_000;

export const procThreads: ThreadReader = {
  timesOf(thread) {
    const times = scheduledTimes(thread);
    if (times === null) return null;
    return { ranMs: times.ranMicros / MICROS_PER_MS, waitedMs: times.waitedMicros / MICROS_PER_MS };
  },
  restsOf(thread) {
    const text = readNow(`/proc/${thread}`, 'status');
    const rests = /^voluntary_ctxt_switches:\s+(\d+)$/m.exec(text ?? '')?.[1];
    return rests === undefined ? null : Number(rests);
  },
};
