/**
 * Key sets by their URL. A set is believed for a while; an unknown key makes us look again, but not more often than the
 * cool-down allows, for anybody can send tokens with made-up key ids.
 */
import type { CryptoKey } from 'jose';
import type { Clock } from '../../kernel/clock.ts';
import type { JwksFetch } from './jwks-fetch.ts';
import { KeySet, type WantedKey } from './key-set.ts';

export interface JwksCacheOptions {
  readonly fetch: JwksFetch;
  readonly clock: Pick<Clock, 'now'>;
  readonly maxAgeMs?: number;
  readonly coolDownMs?: number;
  readonly maxSets?: number;
  /** Fetches under way at the same time, of all tenants. */
  readonly maxFetches?: number;
}

export interface FoundKeys {
  readonly keys: readonly CryptoKey[];
  /** milliseconds since 1970: how long they are believed */
  readonly until: number;
}

interface Entry {
  set: KeySet | null;
  /** milliseconds since 1970; of `set` */
  fetchedAt: number;
  triedAt: number;
  fetching: Promise<void> | null;
  failure: unknown;
}

const DEFAULTS = { maxAgeMs: 600_000, coolDownMs: 30_000, maxSets: 1_000, maxFetches: 32 };

export class JwksCache {
  readonly #options: Required<JwksCacheOptions>;
  readonly #entries = new Map<string, Entry>();
  #fetches = 0;

  constructor(options: JwksCacheOptions) {
    this.#options = { ...DEFAULTS, ...options };
  }

  /** Keys that fit; empty when the set has none. Rejects when there is no set that can be believed. */
  async find(url: string, wanted: WantedKey): Promise<FoundKeys> {
    const entry = this.#entry(url);
    if (!this.#isFresh(entry)) await this.#fetch(url, entry);
    let keys = (await entry.set?.find(wanted)) ?? [];
    if (keys.length === 0 && this.#mayTry(entry)) {
      await this.#fetch(url, entry);
      keys = (await entry.set?.find(wanted)) ?? [];
    }
    if (!this.#isFresh(entry)) throw new Error('the key set cannot be fetched', { cause: entry.failure });
    return { keys, until: entry.fetchedAt + this.#options.maxAgeMs };
  }

  #entry(url: string): Entry {
    const known = this.#entries.get(url);
    if (known !== undefined) return known;
    if (this.#entries.size >= this.#options.maxSets) this.#entries.delete(this.#entries.keys().next().value!);
    const entry: Entry = { set: null, fetchedAt: 0, triedAt: -Infinity, fetching: null, failure: null };
    this.#entries.set(url, entry);
    return entry;
  }

  #isFresh({ set, fetchedAt }: Entry): boolean {
    return set !== null && this.#options.clock.now() - fetchedAt < this.#options.maxAgeMs;
  }

  #mayTry({ triedAt }: Entry): boolean {
    return this.#options.clock.now() - triedAt >= this.#options.coolDownMs;
  }

  /** Never rejects; within the cool-down it does nothing. */
  async #fetch(url: string, entry: Entry): Promise<void> {
    if (entry.fetching !== null) return entry.fetching;
    if (!this.#mayTry(entry) || this.#fetches >= this.#options.maxFetches) return;
    entry.triedAt = this.#options.clock.now();
    this.#fetches += 1;
    entry.fetching = this.#options
      .fetch(url)
      .then((json) => {
        entry.set = new KeySet(json);
        entry.fetchedAt = this.#options.clock.now();
      })
      .catch((error: unknown) => {
        entry.failure = error;
      })
      .finally(() => {
        entry.fetching = null;
        this.#fetches -= 1;
      });
    return entry.fetching;
  }
}
