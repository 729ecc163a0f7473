/**
 * How often the request behind a connection to a tenant's own function has passed through the gateway. The runtime says for
 * which invocation it connects; where that one is not open (its response was sent, or the runtime lies), the highest count
 * of the last minute stands in, so that a function which calls itself after its response is found as well.
 */

const REMEMBER_MS = 60_000;

export class HopCount {
  readonly #now: () => number;
  #highest = 0;
  #seenAt = 0;

  /** @param now milliseconds, monotonic */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** A request with `hops` > 0 came in. */
  saw(hops: number): void {
    this.#highest = Math.max(hops, this.#recent());
    this.#seenAt = this.#now();
  }

  of(invocation: { readonly hops: number } | undefined): number {
    return invocation?.hops ?? this.#recent();
  }

  #recent(): number {
    return this.#now() - this.#seenAt < REMEMBER_MS ? this.#highest : 0;
  }
}
