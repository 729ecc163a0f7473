/** What one tenant has of egress: connections at the same time, opens a second, bytes a day. */
import type { Limits } from '../../contracts/limits.ts';
import type { EgressFailure } from '../../contracts/frames.ts';
import { type Direction, EgressError } from './egress.ts';
import { FramePace } from './frame-pace.ts';
import type { UsageBook } from './usage-book.ts';

const SECOND_MS = 1_000;
/** As many seconds' worth of opens may come at once: a pool that fills is no scan. */
const BURST_SECONDS = 10;

/** A connection, closed when the tenant may not have it any more. */
export interface Held {
  end(error: EgressError): void;
  /** Ends it where the policy of now does not allow it. */
  recheck(): void;
}

export class TenantAccount {
  readonly held = new Set<Held>();
  readonly book: UsageBook;
  /** Of all its sandboxes. */
  readonly pace = new FramePace();
  /** Connections and look-ups that are open or on their way. */
  open = 0;
  /** of the bucket; each is one open. Negative: none yet seen */
  #tokens = -1;
  #refilledAt = 0;

  constructor(book: UsageBook) {
    this.book = book;
  }

  /** As it would be if it were new, so that it can be forgotten. @param now milliseconds, monotonic */
  isIdle(now: number): boolean {
    const isFull = now - this.#refilledAt > BURST_SECONDS * SECOND_MS;
    return this.open === 0 && isFull && this.pace.owedMs(now) === 0;
  }

  /** Why there is no place at this moment: EMFILE, EAGAIN; null: there is one. @param now milliseconds, monotonic */
  refusal({ egressConnections, egressOpensPerSecond }: Limits, now: number): EgressFailure | null {
    const most = egressOpensPerSecond * BURST_SECONDS;
    const refill = ((now - this.#refilledAt) * egressOpensPerSecond) / SECOND_MS;
    this.#tokens = this.#tokens < 0 ? most : Math.min(most, this.#tokens + refill);
    this.#refilledAt = now;
    if (this.#tokens < 1)
      return {
        code: 'EAGAIN',
        reason: `the limit egressOpensPerSecond (${egressOpensPerSecond}) is reached`,
      };
    if (this.open >= egressConnections)
      return { code: 'EMFILE', reason: `the limit egressConnections (${egressConnections}) is reached` };
    return null;
  }

  /** Takes a place that there is, to be given back with `leave`. */
  enter(): void {
    this.#tokens -= 1;
    this.open += 1;
  }

  leave(): void {
    this.open -= 1;
  }

  /** @throws EgressError EDQUOT when the tenant has had its bytes of today */
  async checkBytes({ egressBytesPerDay }: Limits): Promise<void> {
    if ((await this.book.bytesToday()) >= egressBytesPerDay) throw spent(egressBytesPerDay);
  }

  /** Ends all connections of the tenant when its bytes of today are spent. */
  count(direction: Direction, bytes: number, { egressBytesPerDay }: Limits): void {
    if (this.book.addBytes(direction, bytes) < egressBytesPerDay) return;
    const error = spent(egressBytesPerDay);
    for (const held of this.held) held.end(error);
  }
}

function spent(limit: number): EgressError {
  return new EgressError('EDQUOT', `the limit egressBytesPerDay (${limit}) is reached`);
}
