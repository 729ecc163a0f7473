/**
 * Which names led to an address, for one sandbox: some libraries look a name up and then connect to the address. What the
 * broker itself answered for a name, a little while ago, counts as that name.
 */
import type { IpAddress } from '../../kernel/ip-address.ts';

const MAX_ADDRESSES = 256;
const MAX_NAMES = 8;
const KEEP_MS = 600_000;

interface Entry {
  readonly names: string[];
  until: number;
}

export class LookedUp {
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();

  /** @param now milliseconds, monotonic */
  constructor(now: () => number) {
    this.#now = now;
  }

  add(name: string, addresses: readonly IpAddress[]): void {
    for (const { address } of addresses) {
      const names = [name, ...this.namesOf(address).filter((known) => known !== name)].slice(0, MAX_NAMES);
      this.#entries.delete(address);
      this.#entries.set(address, { names, until: this.#now() + KEEP_MS });
    }
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MAX_ADDRESSES) return;
      this.#entries.delete(oldest);
    }
  }

  namesOf(address: string): readonly string[] {
    const entry = this.#entries.get(address);
    return entry === undefined || entry.until < this.#now() ? [] : entry.names;
  }
}
