/** Counts who uses a sandbox: live leases, and cancelled invocations that the runtime has not ended yet. */
import type { BerthError } from '../contracts/errors.ts';
import type { Channel } from './channel/channel.ts';
import { type LeaseHolder, SandboxLease } from './lease.ts';

export interface LeaseBookOptions {
  /** null once the sandbox is gone */
  readonly channel: () => Channel | null;
  readonly endError: () => BerthError;
  /** milliseconds, monotonic */
  readonly now: () => number;
  readonly onLeased: () => void;
  readonly onFreed: () => void;
  readonly onStranded: () => void;
  /** Nothing is open any more, cancelled invocations included. */
  readonly onEmpty: () => void;
}

export class LeaseBook implements LeaseHolder {
  readonly #options: LeaseBookOptions;
  readonly #cancelled = new Set<SandboxLease>();
  live = 0;

  constructor(options: LeaseBookOptions) {
    this.#options = options;
  }

  get openChannel(): Channel | null {
    return this.#options.channel();
  }

  get endError(): BerthError {
    return this.#options.endError();
  }

  get openCount(): number {
    return this.live + this.#cancelled.size;
  }

  get cancelledCount(): number {
    return this.#cancelled.size;
  }

  /** When the invocation that is cancelled for longest was cancelled; null when there is none. */
  get strandedSince(): number | null {
    for (const lease of this.#cancelled) return lease.cancelledAt;
    return null;
  }

  lease(): SandboxLease {
    this.live += 1;
    this.#options.onLeased();
    return new SandboxLease(this);
  }

  leaseEnded(lease: SandboxLease, wasCancelled: boolean): void {
    if (wasCancelled) this.#cancelled.delete(lease);
    else this.#free();
    if (this.openCount === 0) this.#options.onEmpty();
  }

  leaseCancelled(lease: SandboxLease): void {
    lease.cancelledAt = this.#options.now();
    this.#cancelled.add(lease);
    this.#options.onStranded();
    this.#free();
  }

  #free(): void {
    this.live -= 1;
    this.#options.onFreed();
  }
}
