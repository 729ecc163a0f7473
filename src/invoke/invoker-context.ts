/** What all exchanges of one invoker share. */
import type { Socket } from 'node:net';
import type { BerthError } from '../contracts/errors.ts';
import type { Clock } from '../kernel/clock.ts';
import type { TimerWheel } from '../kernel/timer-wheel.ts';
import type { Runnable, Sandboxes } from '../sandboxes/sandboxes.ts';
import type { Admission } from './admission.ts';
import type { InvocationIds } from './invocation-ids.ts';

/** One invocation as telemetry and logs see it. It is the live object: read it, do not keep it. */
export interface ExchangeSummary {
  readonly runnable: Runnable;
  readonly invocation: string;
  readonly isUpgrade: boolean;
  /** It had to wait for a sandbox. */
  readonly isColdStart: boolean;
  /** of the response; 0: none was sent */
  readonly status: number;
  /** What went wrong, whoever's fault it was; null: nothing */
  readonly error: BerthError | null;
  readonly isClientGone: boolean;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** milliseconds, monotonic */
  readonly startedAt: number;
  /** when the response's head came; 0: never */
  readonly headAt: number;
}

/** None of these may throw. */
export interface InvokerHooks {
  readonly onStart?: (exchange: ExchangeSummary) => void;
  /** The invocation is over, `waitUntil` included, or was refused. Called once for each onStart. */
  readonly onEnd?: (exchange: ExchangeSummary) => void;
  /**
   * Something for the tenant's log. Refusals (rate, concurrency) come at most once a second for each tenant.
   * @param times refusals of a tenant since the last call; else 1
   */
  readonly onFailure?: (failure: {
    readonly runnable: Runnable;
    readonly invocation: string;
    readonly error: BerthError;
    readonly times: number;
  }) => void;
}

export interface InvokerContext {
  readonly sandboxes: Pick<Sandboxes, 'tryAcquire' | 'acquire'>;
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly admission: Admission;
  readonly ids: InvocationIds;
  readonly hooks: InvokerHooks;
  /** A proxy in front says who the caller is; its `x-forwarded-*` are believed. */
  readonly trustProxy: boolean;
  /** How often what a connection brings has passed through the gateway before, where it comes from a sandbox; else 0. */
  readonly hopsOf: (socket: Socket) => number;
  inFlight: number;
}
