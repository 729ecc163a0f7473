/**
 * Waits for a lock that another process holds, without holding up this one: SQLite's own waiting (busy_timeout) blocks the
 * thread, and with it every request of every tenant.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** How long a change may wait for the lock, from the moment it is asked for. */
export const LOCK_MS = 4_000;
const FIRST_PAUSE_MS = 5;
const MAX_PAUSE_MS = 100;
/** https://www.sqlite.org/rescode.html */
const SQLITE_BUSY = 5;

/**
 * Repeats an attempt that finds the database locked until `deadline` (of `performance.now()`).
 * @throws what the last attempt threw
 */
export async function patiently<T>(attempt: () => Promise<T>, deadline: number): Promise<T> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)) {
    try {
      return await attempt();
    } catch (error) {
      if (!isBusy(error) || performance.now() + pauseMs > deadline) throw error;
      await sleep(pauseMs);
    }
  }
}

export function lockDeadline(): number {
  return performance.now() + LOCK_MS;
}

/** Here or in a cause. Another database's errors have no such number. */
function isBusy(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if ('errcode' in cause && (Number(cause.errcode) & 0xff) === SQLITE_BUSY) return true;
  return false;
}
