/** All changes go through here: one transaction after the other, and its events only once it is on the disk. */
import type { Kysely, Transaction } from 'kysely';
import { BerthError } from '../../contracts/errors.ts';
import type { StoreChange } from '../store.ts';
import { lockDeadline, patiently } from './patience.ts';
import type { Schema } from './schema.ts';

/** The part of a logger that the store uses; pino fits. */
export interface StoreLog {
  warn(facts: object, text: string): void;
  error(facts: object, text: string): void;
}

export type Changed = (change: StoreChange) => void;
export type ChangeWork<T> = (transaction: Transaction<Schema>, changed: Changed) => Promise<T>;

const MAX_WAITING_CHANGES = 10_000;

export class Writer {
  readonly #db: Kysely<Schema>;
  readonly #log: StoreLog;
  readonly #listeners = new Set<(change: StoreChange) => void>();
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #isClosed = false;

  constructor(db: Kysely<Schema>, log: StoreLog) {
    this.#db = db;
    this.#log = log;
  }

  onChange(listener: (change: StoreChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Runs `work` in a transaction; resolves when it is committed and its events were sent. On any error nothing was changed.
   * @throws BerthError what `work` throws; STORE_UNAVAILABLE when the database refused
   */
  async write<T>(work: ChangeWork<T>): Promise<T> {
    if (this.#isClosed || this.#waiting >= MAX_WAITING_CHANGES) throw new BerthError('STORE_UNAVAILABLE');
    this.#waiting += 1;
    const deadline = lockDeadline();
    const result = this.#last.then(() => this.#transact(work, deadline)).finally(() => (this.#waiting -= 1));
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Refuses further changes and waits for those under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#last;
  }

  async #transact<T>(work: ChangeWork<T>, deadline: number): Promise<T> {
    const changes: StoreChange[] = [];
    // The lock is taken before the work begins, so an attempt that finds it taken has changed nothing.
    const attempt = (): Promise<T> =>
      this.#db.transaction().execute((transaction) => work(transaction, (change) => changes.push(change)));
    const result = await patiently(attempt, deadline).catch((error: unknown) => {
      throw error instanceof BerthError ? error : new BerthError('STORE_UNAVAILABLE', {}, { cause: error });
    });
    for (const change of changes) this.#send(change);
    return result;
  }

  #send(change: StoreChange): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        this.#log.error({ err: error, change }, 'a listener of the store failed');
      }
    }
  }
}
