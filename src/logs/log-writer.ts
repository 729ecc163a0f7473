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
/** History may grow by this part of its limit before it is cut. */
const PRUNE_SHARE = 0.1;

export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #backlog = new LogBacklog();
  /** Lines stored since the last cut. A tenant that is new here is cut at once: an earlier process may have left more. */
  readonly #grown = new Map<TenantId, number>();
  #writing: Promise<void> | null = null;
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

  /** Writes all that waits. Never rejects. */
  async flush(): Promise<void> {
    while (this.#writing !== null || !this.#backlog.isEmpty) {
      if (this.#writing === null) this.#start();
      await this.#writing;
    }
  }

  #start(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    if (this.#writing !== null) return;
    this.#writing = this.#writeAll().finally(() => {
      this.#writing = null;
      if (!this.#backlog.isEmpty)
        this.#cancelTimer ??= this.#options.clock.after(BATCH_MS, () => this.#start());
    });
  }

  /** What waits now and what comes meanwhile in whole batches. */
  async #writeAll(): Promise<void> {
    do {
      const records = this.#backlog.take(BATCH_RECORDS, this.#options.clock.now());
      if (records.length > 0) await this.#write(records);
    } while (this.#backlog.length >= BATCH_RECORDS);
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
      this.#grown.set(tenant, grown < keep * PRUNE_SHARE ? grown : 0);
      if (grown < keep * PRUNE_SHARE) continue;
      await withDeadline(clock, WRITE_MS, store.pruneLogs(tenant, keep)).catch((error: unknown) => {
        log.warn({ err: error, tenant }, 'the log history was not cut');
      });
    }
  }
}
