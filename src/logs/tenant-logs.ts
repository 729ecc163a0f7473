/** The logs of all tenants of this host: cleans what comes in, hands it to live readers, and has it stored. */
import { BerthError } from '../contracts/errors.ts';
import type { TenantId } from '../contracts/ids.ts';
import { type Limits, platformLimits } from '../contracts/limits.ts';
import type { LogRecord } from '../contracts/model.ts';
import { cleanText } from '../kernel/clean-text.ts';
import type { Clock } from '../kernel/clock.ts';
import { LiveSubscription } from './live-subscription.ts';
import { LogWriter, type LogWriterOptions } from './log-writer.ts';
import type { LogFilter, Logs, LogSubscription } from './logs.ts';

export interface LogsOptions {
  readonly store: LogWriterOptions['store'];
  /** Of a tenant that is not there (any more): the defaults. */
  readonly limitsOf: (tenant: TenantId) => Limits;
  readonly clock: Clock;
  readonly log: { warn(facts: object, text: string): void };
}

const MAX_SUBSCRIPTIONS_PER_TENANT = platformLimits.logSubscriptions.value;

/** `subscribe` throws BerthError LIMIT_REACHED (logSubscriptions) above 100 readers of one tenant. */
export function createLogs(options: LogsOptions): Logs {
  return new TenantLogs(options);
}

class TenantLogs implements Logs {
  readonly #options: LogsOptions;
  readonly #writer: LogWriter;
  readonly #readers = new Map<TenantId, Set<LiveSubscription>>();
  #isClosed = false;

  constructor(options: LogsOptions) {
    const { store, clock, log, limitsOf } = options;
    this.#options = options;
    this.#writer = new LogWriter({ store, clock, log, keepOf: (tenant) => limitsOf(tenant).logHistoryRows });
  }

  publish(record: LogRecord): void {
    if (this.#isClosed) return;
    try {
      const { logLineBytes } = this.#options.limitsOf(record.tenant);
      const clean = { ...record, text: cleanText(record.text, logLineBytes) };
      for (const reader of this.#readers.get(record.tenant) ?? []) reader.push(clean);
      this.#writer.push(clean);
    } catch (error) {
      this.#options.log.warn({ err: error, tenant: record.tenant }, 'a log line was lost');
    }
  }

  subscribe(filter: LogFilter, signal: AbortSignal): LogSubscription {
    const readers = this.#readers.get(filter.tenant) ?? new Set();
    if (readers.size >= MAX_SUBSCRIPTIONS_PER_TENANT)
      throw new BerthError('LIMIT_REACHED', {
        name: 'logSubscriptions',
        limit: MAX_SUBSCRIPTIONS_PER_TENANT,
      });
    const onAbort = (): void => subscription.close();
    const subscription = new LiveSubscription(filter, {
      now: () => this.#options.clock.now(),
      onClose: () => {
        signal.removeEventListener('abort', onAbort);
        readers.delete(subscription);
        if (readers.size === 0) this.#readers.delete(filter.tenant);
      },
    });
    this.#readers.set(filter.tenant, readers.add(subscription));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted || this.#isClosed) subscription.close();
    return subscription;
  }

  flush(): Promise<void> {
    return this.#writer.flush();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const readers of this.#readers.values()) for (const reader of readers) reader.close();
    await this.#writer.drain();
  }
}
