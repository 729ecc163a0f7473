/** Brings records to the store in batches, one write at a time, and keeps the history of each tenant short. */
import type { TenantId } from '../contracts/ids.ts';
import type { LogRecord } from '../contracts/model.ts';
import type { Clock } from '../kernel/clock.ts';
import { withDeadline } from '../kernel/deadline.ts';
import { LogBacklog } from './log-backlog.ts';

export interface LogWriterOptions {
  readonly store: {
    appendLogs(records: readonly LogRecord[]): Promise<void>;
    pruneLogs(tenant: TenantId, keep: number): Promise<void>;
  };
  readonly clock: Clock;
  /** log lines of a tenant that are kept */
  readonly keepOf: (tenant: TenantId) => number;
  readonly log: { warn(facts: object, text: string): void };
}

const BATCH_RECORDS = 500;
const BATCH_MS = 200;
const WRITE_MS = 10_000;
/** A tenant beyond these whose history is not counted any more is cut once too often, no more. */
const MAX_COUNTED_TENANTS = 10_000;
/** History may grow by this part of its limit before it is cut. */
const PRUNE_SHARE = 0.1;

interface Flush {
  /** Number of the batch with which all is written that waited at its call. */
  readonly batch: number;
  readonly done: () => void;
}

export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #backlog = new LogBacklog();
  /** Lines stored since the last cut. A tenant that is new here is cut at once: an earlier process may have left more. */
  readonly #grown = new Map<TenantId, number>();
  #writing: Promise<void> | null = null;
  /** Batches written since the start. */
  #written = 0;
  #flushes: Flush[] = [];
  #cancelTimer: (() => void) | null = null;

  constructor(options: LogWriterOptions) {
    this.#options = options;
  }

  push(record: LogRecord): void {
    this.#backlog.push(record);
    if (this.#writing !== null) return;
    if (this.#backlog.length >= BATCH_RECORDS) this.#start();
    else this.#cancelTimer ??= this.#options.clock.after(BATCH_MS, () => this.#start());
  }

  /** Resolves when what waits now is written; what comes meanwhile, of whatever tenant, is not waited for. Never rejects. */
  flush(): Promise<void> {
    const begun = this.#writing === null ? 0 : 1;
    const waiting = Math.max(this.#backlog.isEmpty ? 0 : 1, Math.ceil(this.#backlog.length / BATCH_RECORDS));
    if (begun + waiting === 0) return Promise.resolve();
    return new Promise((done) => {
      this.#flushes.push({ batch: this.#written + begun + waiting, done });
      this.#start();
    });
  }

  /** Writes all that waits, once nothing comes any more. Never rejects. */
  async drain(): Promise<void> {
    while (this.#writing !== null || !this.#backlog.isEmpty) {
      await this.flush();
      await this.#writing;
    }
  }

  #start(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    if (this.#writing !== null) return;
    this.#writing = this.#writeAll().finally(() => {
      this.#writing = null;
      if (this.#flushes.length > 0) this.#start();
      else if (!this.#backlog.isEmpty)
        this.#cancelTimer ??= this.#options.clock.after(BATCH_MS, () => this.#start());
    });
  }

  /** What waits now, what is flushed, and what comes meanwhile in whole batches. */
  async #writeAll(): Promise<void> {
    do {
      const records = this.#backlog.take(BATCH_RECORDS, this.#options.clock.now());
      if (records.length > 0) await this.#write(records);
      this.#written += 1;
      this.#endFlushes();
    } while (this.#backlog.length >= BATCH_RECORDS || this.#flushes.length > 0);
  }

  #endFlushes(): void {
    const flushes = this.#flushes;
    this.#flushes = flushes.filter(({ batch }) => batch > this.#written);
    for (const { batch, done } of flushes) if (batch <= this.#written) done();
  }

  async #write(records: readonly LogRecord[]): Promise<void> {
    try {
      await this.#append(records);
      await this.#prune(records);
    } catch (error) {
      await this.#writeByTenant(records, error);
    }
  }

  /** One tenant that was deleted meanwhile must not cost the others their lines. */
  async #writeByTenant(records: readonly LogRecord[], cause: unknown): Promise<void> {
    const byTenant = Map.groupBy(records, ({ tenant }) => tenant);
    if (byTenant.size === 1) return this.#drop(records, cause);
    for (const own of byTenant.values()) {
      try {
        await this.#append(own);
      } catch (error) {
        this.#drop(own, error);
      }
    }
  }

  /** Markers of earlier losses are not counted again: a store that stays away does not keep the writer busy. */
  #drop(records: readonly LogRecord[], error: unknown): void {
    this.#options.log.warn({ err: error, lines: records.length }, 'log lines were not stored');
    this.#backlog.lost(records.filter(({ source }) => source !== 'platform'));
  }

  #append(records: readonly LogRecord[]): Promise<void> {
    return withDeadline(this.#options.clock, WRITE_MS, this.#options.store.appendLogs(records));
  }

  async #prune(records: readonly LogRecord[]): Promise<void> {
    const { keepOf, store, clock, log } = this.#options;
    for (const [tenant, own] of Map.groupBy(records, ({ tenant }) => tenant)) {
      const keep = keepOf(tenant);
      const grown = (this.#grown.get(tenant) ?? Number.POSITIVE_INFINITY) + own.length;
      this.#count(tenant, grown < keep * PRUNE_SHARE ? grown : 0);
      if (grown < keep * PRUNE_SHARE) continue;
      await withDeadline(clock, WRITE_MS, store.pruneLogs(tenant, keep)).catch((error: unknown) => {
        log.warn({ err: error, tenant }, 'the log history was not cut');
      });
    }
  }

  /** Those who wrote longest ago are forgotten: deleted tenants do not stay for ever. */
  #count(tenant: TenantId, lines: number): void {
    this.#grown.delete(tenant);
    if (this.#grown.size >= MAX_COUNTED_TENANTS) this.#grown.delete(this.#grown.keys().next().value!);
    this.#grown.set(tenant, lines);
  }
}
