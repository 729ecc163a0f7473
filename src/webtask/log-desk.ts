/** Lets readers of logs in: so many a container, each as long as its token holds. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TokenVerifier } from '../auth/principal.ts';
import { BerthError, toBerthError } from '../contracts/errors.ts';
import type { FunctionName, TenantId } from '../contracts/ids.ts';
import { authenticate, mustManage } from './access.ts';
import { type LogStreamParts, streamLogs } from './log-stream.ts';
import { webtaskLimits } from './webtask-limits.ts';

const MAX_STREAMS_PER_CONTAINER = webtaskLimits.webtaskLogStreams.value;

export interface LogReader {
  readonly tenant: TenantId;
  readonly fn: FunctionName | null;
  readonly token: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** from `admit` */
  readonly release: () => void;
}

export interface LogDeskParts extends LogStreamParts {
  readonly verifier: TokenVerifier;
  readonly report: (error: BerthError) => void;
}

export class LogDesk {
  readonly #parts: LogDeskParts;
  readonly #open = new Map<TenantId, number>();
  readonly #closing = new AbortController();

  constructor(parts: LogDeskParts) {
    this.#parts = parts;
  }

  /** @returns a function that gives the place back @throws BerthError CONCURRENCY_LIMIT, SHUTTING_DOWN */
  admit(tenant: TenantId): () => void {
    if (this.#closing.signal.aborted) throw new BerthError('SHUTTING_DOWN');
    const count = this.#open.get(tenant) ?? 0;
    if (count >= MAX_STREAMS_PER_CONTAINER)
      throw new BerthError('CONCURRENCY_LIMIT', {
        name: 'webtaskLogStreams',
        limit: MAX_STREAMS_PER_CONTAINER,
      });
    this.#open.set(tenant, count + 1);
    return () => this.#release(tenant);
  }

  /** Ends with the reader, its right, or `close`. Never throws. */
  async stream(reader: LogReader): Promise<void> {
    const { token, tenant } = reader;
    const mayStillRead = async (): Promise<boolean> => {
      try {
        mustManage(await authenticate(this.#parts.verifier, token, tenant), tenant);
        return true;
      } catch (error) {
        // A store that does not answer for a moment is not a reason to cut the reader off.
        return toBerthError(error).definition.fault === 'platform';
      }
    };
    try {
      await streamLogs(this.#parts, { ...reader, mayStillRead }, this.#closing.signal);
    } catch (error) {
      this.#parts.report(toBerthError(error));
    } finally {
      reader.release();
    }
  }

  /** Ends all streams: a server that stops cannot wait for readers that never go. */
  close(): void {
    this.#closing.abort();
  }

  #release(tenant: TenantId): void {
    const count = (this.#open.get(tenant) ?? 1) - 1;
    if (count === 0) this.#open.delete(tenant);
    else this.#open.set(tenant, count);
  }
}
