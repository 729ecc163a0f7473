/** One live reader of a tenant's log. A slow one loses records, and a marker stands in their place. */
import type { LogRecord } from '../contracts/model.ts';
import { BoundedQueue } from '../kernel/bounded-queue.ts';
import { droppedMarker } from './log-backlog.ts';
import type { LogFilter, LogSubscription } from './logs.ts';

const MAX_UNREAD = 500;

export class LiveSubscription implements LogSubscription {
  readonly filter: LogFilter;
  readonly #now: () => number;
  readonly #onClose: (subscription: LiveSubscription) => void;
  readonly #unread = new BoundedQueue<LogRecord>(MAX_UNREAD);
  #dropped = 0;
  #lastDropped: LogRecord | null = null;
  #wake: (() => void) | null = null;
  #isClosed = false;

  constructor(
    filter: LogFilter,
    options: { now: () => number; onClose: (subscription: LiveSubscription) => void },
  ) {
    this.filter = filter;
    this.#now = options.now;
    this.#onClose = options.onClose;
  }

  /** Takes a record of the filter's tenant. */
  push(record: LogRecord): void {
    if (this.#isClosed || (this.filter.fn !== undefined && this.filter.fn !== record.fn)) return;
    // The marker comes before what follows the gap, so both must find room.
    if (this.#dropped > 0 && this.#unread.length <= MAX_UNREAD - 2) this.#unread.push(this.#takeMarker());
    if (this.#dropped > 0 || !this.#unread.push(record)) {
      this.#dropped += 1;
      this.#lastDropped = record;
    }
    this.#wake?.();
  }

  /** The reader gets what is there already, then the end. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#onClose(this);
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<LogRecord, void, undefined> {
    try {
      for (;;) {
        const record = this.#unread.shift() ?? (this.#dropped > 0 ? this.#takeMarker() : undefined);
        if (record !== undefined) yield record;
        else if (this.#isClosed) return;
        else await this.#pushed();
      }
    } finally {
      this.close();
    }
  }

  /** Ends with the next push or with close, so its deadline is the subscriber's own signal. */
  #pushed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null;
        resolve();
      };
    });
  }

  #takeMarker(): LogRecord {
    const marker = droppedMarker(this.#lastDropped!, this.#dropped, this.#now());
    this.#dropped = 0;
    this.#lastDropped = null;
    return marker;
  }
}
