/**
 * Key sets by their URL. A set is believed for as long as it says itself, within bounds; an unknown key makes us look again,
 * but not more often than the cool-down allows, for anybody can send tokens with made-up key ids.
 */
import type { CryptoKey } from 'jose';
import { platformLimits } from '../../contracts/limits.ts';
import type { Clock } from '../../kernel/clock.ts';
import type { JwksFetch } from './jwks-fetch.ts';
import { KeySet, type WantedKey } from './key-set.ts';

export interface JwksCacheOptions {
  readonly fetch: JwksFetch;
  readonly clock: Pick<Clock, 'now'>;
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
  believedUntil: number;
  /** No fetch is begun before, milliseconds since 1970. */
  coolUntil: number;
  fetching: Promise<void> | null;
  failure: unknown;
}

const DEFAULTS = { maxSets: 1_000, maxFetches: 32 };
/** A fetch holds one of the few places of all tenants: who answers slowly is asked so many times its time later again. */
const REST_FACTOR = 6;
const MAX_REST_MS = 30_000;

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
    return { keys, until: entry.believedUntil };
  }

  #entry(url: string): Entry {
    const known = this.#entries.get(url);
    if (known !== undefined) return known;
    if (this.#entries.size >= this.#options.maxSets) this.#entries.delete(this.#entries.keys().next().value!);
    const entry: Entry = { set: null, believedUntil: 0, coolUntil: 0, fetching: null, failure: null };
    this.#entries.set(url, entry);
    return entry;
  }

  #isFresh({ set, believedUntil }: Entry): boolean {
    return set !== null && this.#options.clock.now() < believedUntil;
  }

  #mayTry({ coolUntil }: Entry): boolean {
    return this.#options.clock.now() >= coolUntil;
  }

  /** Never rejects; within the cool-down it does nothing. */
  async #fetch(url: string, entry: Entry): Promise<void> {
    if (entry.fetching !== null) return entry.fetching;
    if (!this.#mayTry(entry) || this.#fetches >= this.#options.maxFetches) return;
    this.#fetches += 1;
    entry.fetching = this.#fetchNow(url, entry).finally(() => {
      entry.fetching = null;
      this.#fetches -= 1;
    });
    return entry.fetching;
  }

  async #fetchNow(url: string, entry: Entry): Promise<void> {
    const { fetch, clock } = this.#options;
    const startedAt = clock.now();
    const cool = (): void => {
      const restMs = Math.min((clock.now() - startedAt) * REST_FACTOR, MAX_REST_MS);
      entry.coolUntil = startedAt + Math.max(platformLimits.jwksCoolDownMs.value, restMs);
    };
    try {
      const { json, freshMs } = await fetch(url);
      entry.set = new KeySet(json);
      cool();
      // Until it may be asked again, at least: otherwise a slow set would be refused most of the time.
      entry.believedUntil = Math.max(clock.now() + believedMs(freshMs), entry.coolUntil);
    } catch (error) {
      entry.failure = error;
      cool();
    }
  }
}

function believedMs(freshMs: number | null): number {
  const { jwksFreshMs, jwksFreshLeastMs, jwksFreshMostMs } = platformLimits;
  return Math.min(Math.max(freshMs ?? jwksFreshMs.value, jwksFreshLeastMs.value), jwksFreshMostMs.value);
}
