/** Counts what tenants use of egress, by day, and writes it down every few seconds. What is lost with `kill -9` is those seconds. */
import type { TenantId } from '../../contracts/ids.ts';
import type { UsageEntry, UsageName } from '../../contracts/model.ts';
import type { Clock } from '../../kernel/clock.ts';
import type { UsageStore } from '../../store/store.ts';
import type { PlatformLog } from '../services.ts';
import type { Direction } from './egress.ts';

export interface UsageBooksOptions {
  readonly store: UsageStore;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly log: PlatformLog;
}

const DAY_MS = 86_400_000;
const FLUSH_MS = 5_000;

/** ISO 8601, UTC. */
export function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}

export class UsageBooks {
  readonly #options: UsageBooksOptions;
  readonly #books = new Map<TenantId, UsageBook>();
  #cancelFlush: (() => void) | null = null;
  #writing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: UsageBooksOptions) {
    this.#options = options;
  }

  of(tenant: TenantId): UsageBook {
    let book = this.#books.get(tenant);
    if (book === undefined) {
      book = new UsageBook(tenant, this.#options, () => this.#flushLater());
      this.#books.set(tenant, book);
    }
    book.isResting = false;
    return book;
  }

  /** The tenant uses nothing at the moment: its book is put away when all of it is written. */
  rest(tenant: TenantId): void {
    const book = this.#books.get(tenant);
    if (book === undefined) return;
    book.isResting = true;
    if (book.isWritten) this.#books.delete(tenant);
  }

  /** Resolves when all that was counted is written, or could not be. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelFlush?.();
    await this.#flush();
  }

  #flushLater(): void {
    if (this.#cancelFlush !== null || this.#isClosed) return;
    this.#cancelFlush = this.#options.clock.after(FLUSH_MS, () => {
      this.#cancelFlush = null;
      void this.#flush();
    });
  }

  /** Never rejects: what is not written is tried again. */
  #flush(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    const books = [...this.#books.values()].filter(({ isWritten }) => !isWritten);
    const entries = books.flatMap((book) => book.take());
    if (entries.length === 0) return;
    try {
      await this.#options.store.addUsage(entries);
      for (const book of books) book.written();
      for (const [tenant, book] of this.#books)
        if (book.isResting && book.isWritten) this.#books.delete(tenant);
    } catch (error) {
      this.#options.log.error({ err: error }, 'the usage of tenants was not written; trying again');
      for (const book of books) book.putBack();
      this.#flushLater();
    }
  }
}

export class UsageBook {
  readonly #tenant: TenantId;
  readonly #options: Pick<UsageBooksOptions, 'store' | 'clock'>;
  readonly #onChange: () => void;
  /** By day and name: counted, not handed to the store. */
  #counted = new Map<string, UsageEntry>();
  #onTheirWay: readonly UsageEntry[] = [];
  #day = -1;
  #told = { day: -1, text: '' };
  #bytes = 0;
  #reading: Promise<void> | null = null;
  /** Nobody uses it at the moment. */
  isResting = false;

  constructor(tenant: TenantId, options: Pick<UsageBooksOptions, 'store' | 'clock'>, onChange: () => void) {
    this.#tenant = tenant;
    this.#options = options;
    this.#onChange = onChange;
  }

  get isWritten(): boolean {
    return this.#counted.size === 0 && this.#onTheirWay.length === 0;
  }

  /** Bytes of both directions; from the store when it is asked for the first time on a day. */
  async bytesToday(): Promise<number> {
    this.#turnDay();
    this.#reading ??= this.#read().catch((error: unknown) => {
      this.#reading = null;
      throw error;
    });
    await this.#reading;
    return this.#bytes;
  }

  /** @returns bytes of today, as far as they are known */
  addBytes(direction: Direction, bytes: number): number {
    this.#turnDay();
    this.#bytes += bytes;
    this.add(direction === 'in' ? 'egressBytesIn' : 'egressBytesOut', bytes);
    return this.#bytes;
  }

  add(name: UsageName, amount: number): void {
    const day = this.#today();
    const key = `${day} ${name}`;
    const before = this.#counted.get(key)?.amount ?? 0;
    this.#counted.set(key, { tenant: this.#tenant, day, name, amount: before + amount });
    this.#onChange();
  }

  // --- for the books

  take(): readonly UsageEntry[] {
    this.#onTheirWay = [...this.#counted.values()];
    this.#counted = new Map();
    return this.#onTheirWay;
  }

  written(): void {
    this.#onTheirWay = [];
  }

  putBack(): void {
    const entries = this.#onTheirWay;
    this.#onTheirWay = [];
    for (const entry of entries) {
      const key = `${entry.day} ${entry.name}`;
      const since = this.#counted.get(key)?.amount ?? 0;
      this.#counted.set(key, { ...entry, amount: entry.amount + since });
    }
  }

  /** As `dayOf` tells it, which takes its time, and is asked for each piece of what is sent. */
  #today(): string {
    const day = Math.floor(this.#options.clock.now() / DAY_MS);
    if (day !== this.#told.day) this.#told = { day, text: dayOf(day * DAY_MS) };
    return this.#told.text;
  }

  #turnDay(): void {
    const day = Math.floor(this.#options.clock.now() / DAY_MS);
    if (day === this.#day) return;
    // Of a day that begins while the book is open nothing else is in the store.
    this.#reading = this.#day === -1 ? null : Promise.resolve();
    this.#day = day;
    this.#bytes = 0;
  }

  async #read(): Promise<void> {
    const day = dayOf(this.#options.clock.now());
    const stored = await this.#options.store.readUsage(this.#tenant, { from: day, to: day });
    for (const { name, amount } of stored)
      if (name === 'egressBytesIn' || name === 'egressBytesOut') this.#bytes += amount;
  }
}
