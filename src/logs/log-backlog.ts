/** Records that wait to be stored: bounded in number and bytes, for all and for each tenant, so that one cannot push out another. */
import type { TenantId } from '../contracts/ids.ts';
import type { LogRecord } from '../contracts/model.ts';
import { BoundedQueue } from '../kernel/bounded-queue.ts';

export interface BacklogLimits {
  readonly records: number;
  readonly bytes: number;
  readonly recordsPerTenant: number;
  readonly bytesPerTenant: number;
}

const backlogLimits: BacklogLimits = {
  records: 20_000,
  bytes: 32 * 1024 * 1024,
  recordsPerTenant: 5_000,
  bytesPerTenant: 8 * 1024 * 1024,
};

interface Share {
  records: number;
  bytes: number;
  dropped: number;
  lastDropped: LogRecord | null;
}

export class LogBacklog {
  readonly #limits: BacklogLimits;
  readonly #queue: BoundedQueue<LogRecord>;
  readonly #shares = new Map<TenantId, Share>();
  #bytes = 0;

  constructor(limits: BacklogLimits = backlogLimits) {
    this.#limits = limits;
    this.#queue = new BoundedQueue(limits.records);
  }

  get length(): number {
    return this.#queue.length;
  }

  /** Nothing to store, and nothing to say about what was dropped. */
  get isEmpty(): boolean {
    return this.#shares.size === 0;
  }

  /** What finds no room is counted, and said with the next batch. */
  push(record: LogRecord): void {
    const share = this.#share(record.tenant);
    const bytes = record.text.length;
    const { recordsPerTenant, bytesPerTenant } = this.#limits;
    const hasRoom =
      share.records < recordsPerTenant &&
      share.bytes + bytes <= bytesPerTenant &&
      this.#bytes + bytes <= this.#limits.bytes;
    if (!hasRoom || !this.#queue.push(record)) return this.#drop(share, record);
    share.records += 1;
    share.bytes += bytes;
    this.#bytes += bytes;
  }

  /** The records were taken, and could not be stored. */
  lost(records: readonly LogRecord[]): void {
    for (const record of records) this.#drop(this.#share(record.tenant), record);
  }

  /** Up to `count` records, and a marker for each tenant that lost some. */
  take(count: number, now: number): LogRecord[] {
    const records = this.#queue.take(count);
    for (const { tenant, text } of records) {
      const share = this.#share(tenant);
      share.records -= 1;
      share.bytes -= text.length;
      this.#bytes -= text.length;
    }
    for (const [tenant, share] of this.#shares) {
      if (share.records > 0) continue;
      if (share.lastDropped !== null) records.push(droppedMarker(share.lastDropped, share.dropped, now));
      this.#shares.delete(tenant);
    }
    return records;
  }

  #drop(share: Share, record: LogRecord): void {
    share.dropped += 1;
    share.lastDropped = record;
  }

  #share(tenant: TenantId): Share {
    const known = this.#shares.get(tenant);
    if (known !== undefined) return known;
    const share: Share = { records: 0, bytes: 0, dropped: 0, lastDropped: null };
    this.#shares.set(tenant, share);
    return share;
  }
}

/** The line that stands where lines are missing. */
export function droppedMarker(last: LogRecord, lines: number, now: number): LogRecord {
  return {
    at: now,
    tenant: last.tenant,
    fn: last.fn,
    revision: null,
    invocation: null,
    source: 'platform',
    level: 'warn',
    text: `… ${lines} log lines dropped`,
  };
}
