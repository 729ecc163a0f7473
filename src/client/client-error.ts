/** What goes wrong between a client and the platform: a stable code, a sentence and the way out. */
import type { ErrorCode } from '../contracts/errors.ts';

/**
 * - `UNREACHABLE`: nothing answered, or not in time
 * - `NOT_BERTH`: something answered, but not as Berth does
 */
export type ClientErrorCode = ErrorCode | 'UNREACHABLE' | 'NOT_BERTH';

export interface ClientErrorOptions {
  readonly code: ClientErrorCode;
  readonly message: string;
  readonly wayOut: string;
  /** HTTP status; null when there was no answer */
  readonly status?: number | null;
  /** What the problem names beside: file, line, limit … */
  readonly facts?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly code: ClientErrorCode;
  readonly wayOut: string;
  readonly status: number | null;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor({ code, message, wayOut, status = null, facts = {}, cause }: ClientErrorOptions) {
    super(message, cause === undefined ? {} : { cause });
    this.code = code;
    this.wayOut = wayOut;
    this.status = status;
    this.facts = facts;
  }
}
