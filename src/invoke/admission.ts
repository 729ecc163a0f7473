/** Who gets in: for each tenant a rate and a number of invocations at the same time. */
import { BerthError } from '../contracts/errors.ts';
import type { TenantId } from '../contracts/ids.ts';
import type { Limits } from '../contracts/limits.ts';

const PRUNE_EVERY = 4_096;
const SECOND_MS = 1_000;

/** What one tenant has under way. */
export class TenantGate {
  inFlight = 0;
  /** of the bucket; each is one request. Negative: none yet seen */
  tokens = -1;
  refilledAt = 0;
  /** Refusals are told in the tenant's log at most once a second. */
  toldAt = -SECOND_MS;
  untold = 0;

  leave(): void {
    this.inFlight -= 1;
  }

  /** @returns refusals since the last time that were not told, this one included; 0: do not tell yet */
  takeRefusals(now: number): number {
    this.untold += 1;
    if (now - this.toldAt < SECOND_MS) return 0;
    const count = this.untold;
    this.untold = 0;
    this.toldAt = now;
    return count;
  }
}

export class Admission {
  readonly #gates = new Map<TenantId, TenantGate>();
  #untilPrune = PRUNE_EVERY;

  gateOf(tenant: TenantId): TenantGate {
    const known = this.#gates.get(tenant);
    if (known !== undefined) return known;
    const gate = new TenantGate();
    this.#gates.set(tenant, gate);
    return gate;
  }

  /**
   * Takes a place, to be given back with `leave`.
   * @param now milliseconds, monotonic
   * @returns null, or why there is none: RATE_LIMITED, CONCURRENCY_LIMIT
   */
  enter(gate: TenantGate, limits: Limits, now: number): BerthError | null {
    if (--this.#untilPrune === 0) this.#prune(now);
    const { requestsPerSecond, concurrency } = limits;
    // A bucket of one second's worth: a burst of that size passes, the mean does not exceed the rate.
    const refill = ((now - gate.refilledAt) * requestsPerSecond) / SECOND_MS;
    gate.tokens = gate.tokens < 0 ? requestsPerSecond : Math.min(requestsPerSecond, gate.tokens + refill);
    gate.refilledAt = now;
    if (gate.tokens < 1)
      return new BerthError('RATE_LIMITED', { name: 'requestsPerSecond', limit: requestsPerSecond });
    if (gate.inFlight >= concurrency)
      return new BerthError('CONCURRENCY_LIMIT', { name: 'concurrency', limit: concurrency });
    gate.tokens -= 1;
    gate.inFlight += 1;
    return null;
  }

  get size(): number {
    return this.#gates.size;
  }

  /** Forgets tenants that are as they would be if they were new. */
  #prune(now: number): void {
    this.#untilPrune = PRUNE_EVERY;
    for (const [tenant, gate] of this.#gates) {
      if (gate.inFlight === 0 && now - gate.refilledAt > SECOND_MS && now - gate.toldAt > SECOND_MS)
        this.#gates.delete(tenant);
    }
  }
}
