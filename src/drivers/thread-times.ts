/** What the kernel tells of a thread's turns on the CPU: /proc/<tid>/schedstat and /proc/<tid>/status (man 5 proc). */
import { readFileSync } from 'node:fs';
import { isMissing } from './process-identity.ts';

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

const NANOS_PER_MS = 1_000_000;

export const procThreads: ThreadReader = {
  timesOf(thread) {
    const text = read(thread, 'schedstat');
    if (text === null) return null;
    const [ran = 0, waited = 0] = text.split(' ').map(Number);
    return { ranMs: ran / NANOS_PER_MS, waitedMs: waited / NANOS_PER_MS };
  },
  restsOf(thread) {
    const text = read(thread, 'status');
    const rests = /^voluntary_ctxt_switches:\s+(\d+)$/m.exec(text ?? '')?.[1];
    return rests === undefined ? null : Number(rests);
  },
};

function read(thread: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${thread}/${file}`, 'latin1');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}
