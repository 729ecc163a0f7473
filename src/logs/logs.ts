/** Logs of tenants: live to who listens, and to the store in batches. Bounded everywhere; what is dropped is counted and said. */
import type { FunctionName, TenantId } from '../contracts/ids.ts';
import type { LogRecord } from '../contracts/model.ts';

export interface LogFilter {
  readonly tenant: TenantId;
  readonly fn?: FunctionName;
}

export interface LogSubscription extends AsyncIterable<LogRecord> {
  close(): void;
}

export interface Logs {
  /** Never blocks, never throws. */
  publish(record: LogRecord): void;
  /** Live records from now on. A slow reader loses records and gets a platform line that says how many. */
  subscribe(filter: LogFilter, signal: AbortSignal): LogSubscription;
  /** Resolves when what was published before is in the store. */
  flush(): Promise<void>;
  close(): Promise<void>;
}
