/**
 * Applies changes one after the other, each until it succeeds. What waits already is not queued twice: it will see the newest
 * state. One that fails waits for its own retry, and the others go on: what cannot be read of one tenant stops no other.
 */
import type { Clock } from '../kernel/clock.ts';

export interface ChangeQueueOptions<Change> {
  readonly clock: Clock;
  /** Equal keys mean: applying the later one makes up for the earlier one. */
  readonly keyOf: (change: Change) => string;
  readonly apply: (change: Change) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

const FIRST_RETRY_MS = 20;
const MAX_RETRY_MS = 1_000;

class Pending<Change> {
  readonly change: Change;
  /** before the next try, should this one fail */
  waitMs = FIRST_RETRY_MS;
  /** since it was pushed last */
  hasFailed = false;
  readonly applied = Promise.withResolvers<void>();
  cancelRetry: () => void = () => undefined;

  constructor(change: Change) {
    this.change = change;
  }
}

export class ChangeQueue<Change> {
  readonly #options: ChangeQueueOptions<Change>;
  /** A key is in one of these two at most; a change of the same key may be under way. */
  readonly #ready = new Map<string, Pending<Change>>();
  readonly #failed = new Map<string, Pending<Change>>();
  #current: Pending<Change> | null = null;
  #isClosed = false;

  constructor(options: ChangeQueueOptions<Change>) {
    this.#options = options;
  }

  push(change: Change): void {
    const key = this.#options.keyOf(change);
    if (this.#isClosed) return;
    const pending = this.#ready.get(key) ?? this.#failed.get(key) ?? new Pending(change);
    pending.hasFailed = false;
    this.#enqueue(key, pending);
  }

  /**
   * Resolves when every change that was pushed until now has been applied. What had failed already, and was not pushed again
   * since, is not waited for: it would hold up everybody for as long as it cannot be read.
   */
  async settled(): Promise<void> {
    const fresh = this.#open().filter(({ hasFailed }) => !hasFailed);
    await Promise.all(fresh.map(({ applied }) => applied.promise));
  }

  /** Drops what waits. */
  close(): void {
    this.#isClosed = true;
    for (const { cancelRetry, applied } of this.#open()) {
      cancelRetry();
      applied.resolve();
    }
    this.#ready.clear();
    this.#failed.clear();
  }

  #open(): Pending<Change>[] {
    const current = this.#current === null ? [] : [this.#current];
    return [...current, ...this.#ready.values(), ...this.#failed.values()];
  }

  #enqueue(key: string, pending: Pending<Change>): void {
    pending.cancelRetry();
    this.#failed.delete(key);
    this.#ready.set(key, pending);
    if (this.#current === null) void this.#run();
  }

  async #run(): Promise<void> {
    for (const [key, pending] of this.#ready) {
      // Taken out first: what changes while it is being read must be read again.
      this.#ready.delete(key);
      this.#current = pending;
      try {
        await this.#options.apply(pending.change);
        pending.applied.resolve();
      } catch (error) {
        this.#options.onError(error);
        if (!this.#isClosed) this.#tryAgain(key, pending);
      }
    }
    this.#current = null;
  }

  #tryAgain(key: string, pending: Pending<Change>): void {
    const { waitMs } = pending;
    const nextWaitMs = Math.min(waitMs * 2, MAX_RETRY_MS);
    const newer = this.#ready.get(key);
    if (newer !== undefined) {
      // Pushed again while it was read: that one makes up for this one.
      newer.waitMs = nextWaitMs;
      void newer.applied.promise.then(pending.applied.resolve);
      return;
    }
    pending.waitMs = nextWaitMs;
    pending.hasFailed = true;
    pending.cancelRetry = this.#options.clock.after(waitMs, () => this.#enqueue(key, pending));
    this.#failed.set(key, pending);
  }
}
