/** The threads of one sandbox from look to look: does one of them burn CPU, and do they wait for it? */
import type { ThreadReader, ThreadTimes } from './thread-times.ts';

/** Of the time between two looks that a thread runs. */
const BURNING_SHARE = 0.1;
/** A thread that runs for so long from rest to rest does not wait for requests. A request served takes well below one. */
const LONG_RUN_MS = 2;
/** Who has more than these and is busy is not asked further. */
const MAX_THREADS = 256;

interface Known extends ThreadTimes {
  /** As of the last look at which it ran for long. */
  readonly rests: number;
}

export interface ThreadVerdict {
  readonly burns: boolean;
  /** Of the time since the last look, in which a thread wanted to run and did not: the sum of all. */
  readonly waitingShare: number;
  /** Files that were read for it. */
  readonly reads: number;
}

const NOTHING_YET = { burns: false, waitingShare: 0 } as const;

export class ThreadWatch {
  #known = new Map<number, Known>();
  #at: number | null = null;

  look(threads: readonly number[], now: number, reader: ThreadReader): ThreadVerdict {
    if (threads.length > MAX_THREADS) return { burns: true, waitingShare: 0, reads: 1 };
    const elapsedMs = this.#at === null ? null : now - this.#at;
    const known = new Map<number, Known>();
    let [burns, waitedMs, reads] = [false, 0, 0];
    for (const thread of threads) {
      const before = this.#known.get(thread);
      const times = reader.timesOf(thread);
      reads += 1;
      if (times === null) continue;
      const ranMs = times.ranMs - (before?.ranMs ?? times.ranMs);
      waitedMs += times.waitedMs - (before?.waitedMs ?? times.waitedMs);
      const isHot = elapsedMs !== null && ranMs >= elapsedMs * BURNING_SHARE;
      if (before !== undefined && !isHot) {
        known.set(thread, { ...times, rests: before.rests });
        continue;
      }
      const rests = reader.restsOf(thread) ?? 0;
      reads += 1;
      known.set(thread, { ...times, rests });
      if (before !== undefined && ranMs >= (rests - before.rests + 1) * LONG_RUN_MS) burns = true;
    }
    this.#known = known;
    this.#at = now;
    if (elapsedMs === null || elapsedMs <= 0) return { ...NOTHING_YET, reads };
    return { burns, waitingShare: waitedMs / elapsedMs, reads };
  }
}
