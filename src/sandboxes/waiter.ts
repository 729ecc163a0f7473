/** One invocation that waits for a place: ends with a lease, an error, its deadline, or the caller's leaving. */
import { BerthError } from '../contracts/errors.ts';
import type { Clock } from '../kernel/clock.ts';
import type { SandboxLease } from './lease.ts';
import type { Lease } from './sandboxes.ts';

export interface WaiterOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly queueMs: number;
  /** False when a sandbox was on its way with a place for it; then it does not count against the tenant's queue. */
  readonly isQueued: boolean;
  /** Called once, when it waits no more. */
  readonly onEnd: (waiter: Waiter) => void;
}

export class Waiter {
  readonly lease: Promise<Lease>;
  readonly isQueued: boolean;
  readonly since: number;
  readonly #settle = Promise.withResolvers<Lease>();
  readonly #options: WaiterOptions;
  readonly #cancelDeadline: () => void;
  readonly #onAbort = (): void => this.#reject(this.#options.signal.reason);

  constructor(options: WaiterOptions) {
    const { clock, signal, queueMs } = options;
    this.#options = options;
    this.isQueued = options.isQueued;
    this.since = clock.monotonic();
    this.lease = this.#settle.promise;
    this.#cancelDeadline = clock.after(queueMs, () =>
      this.fail(new BerthError('QUEUE_TIMEOUT', { limit: queueMs })),
    );
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  serve(lease: SandboxLease): void {
    this.#end();
    this.#settle.resolve(lease);
  }

  fail(error: BerthError): void {
    this.#reject(error);
  }

  #reject(reason: unknown): void {
    this.#end();
    this.#settle.reject(reason);
  }

  #end(): void {
    this.#cancelDeadline();
    this.#options.signal.removeEventListener('abort', this.#onAbort);
    this.#options.onEnd(this);
  }
}
