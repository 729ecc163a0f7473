/**
 * The keys that verify tokens, in memory. Each load gives a new state object, so who remembers a state can ask by
 * identity whether anything changed since: `refresh` takes effect at once, without counting or waiting.
 */
import { createSecretKey, type KeyObject } from 'node:crypto';
import type { KeyId, TenantId } from '../contracts/ids.ts';
import type { TenantKey } from '../contracts/model.ts';
import type { KeySource } from './key-source.ts';
import { Loaded } from './loaded.ts';
import { signingKey } from './platform-keys.ts';

export interface PlatformState {
  /** All that are not revoked. */
  readonly keys: ReadonlyMap<KeyId, KeyObject>;
  /** The newest that is neither retired nor revoked. */
  readonly signing: { readonly id: KeyId; readonly key: KeyObject } | null;
}

export type RingKey =
  | { readonly kind: 'hs256' | 'jwe'; readonly id: KeyId; readonly key: KeyObject }
  | { readonly kind: 'jwks'; readonly id: KeyId; readonly url: string };

export interface TenantState {
  readonly exists: boolean;
  /** Tokens issued before are refused, milliseconds since 1970; 0: none */
  readonly tokensValidFrom: number;
  readonly createdAt: number;
  /** Those not revoked, newest first. */
  readonly keys: readonly RingKey[];
}

const DEFAULT_MAX_TENANTS = 10_000;

export class KeyRing {
  readonly #source: KeySource;
  readonly #maxTenants: number;
  readonly #platform: Loaded<PlatformState>;
  readonly #tenants = new Map<TenantId, Loaded<TenantState>>();

  constructor(source: KeySource, options: { readonly maxTenants?: number } = {}) {
    this.#source = source;
    this.#maxTenants = options.maxTenants ?? DEFAULT_MAX_TENANTS;
    this.#platform = new Loaded(async () => platformState(source));
  }

  async platform(): Promise<PlatformState> {
    return this.#platform.get();
  }

  async tenant(id: TenantId): Promise<TenantState> {
    let loaded = this.#tenants.get(id);
    if (loaded === undefined) {
      loaded = new Loaded(async () => tenantState(this.#source, id));
      if (this.#tenants.size >= this.#maxTenants) this.#tenants.delete(this.#tenants.keys().next().value!);
    } else {
      this.#tenants.delete(id);
    }
    this.#tenants.set(id, loaded);
    return loaded.get();
  }

  /** The state in force, when it is loaded. */
  currentPlatform(): PlatformState | null {
    return this.#platform.current();
  }

  currentTenant(id: TenantId): TenantState | null {
    return this.#tenants.get(id)?.current() ?? null;
  }

  /** To be called after keys or the tenant itself changed: the old state is not used again. null: the platform's keys */
  refresh(tenant: TenantId | null): void {
    if (tenant === null) this.#platform.drop();
    else this.#tenants.delete(tenant);
  }
}

async function platformState(source: KeySource): Promise<PlatformState> {
  const live = (await source.listPlatformKeys()).filter(({ revokedAt }) => revokedAt === null);
  const keys = new Map(live.map(({ id, secret }) => [id, createSecretKey(secret)]));
  const newest = signingKey(live);
  const signing = newest === null ? null : { id: newest.id, key: keys.get(newest.id)! };
  return { keys, signing };
}

async function tenantState(source: KeySource, id: TenantId): Promise<TenantState> {
  const tenant = await source.getTenant(id);
  if (tenant === null) return { exists: false, tokensValidFrom: 0, createdAt: 0, keys: [] };
  const keys = (await source.listTenantKeys(id))
    .filter(({ revokedAt }) => revokedAt === null)
    .toSorted((a, b) => b.createdAt - a.createdAt)
    .map(ringKey);
  return { exists: true, tokensValidFrom: tenant.tokensValidFrom, createdAt: tenant.createdAt, keys };
}

function ringKey(key: TenantKey): RingKey {
  return key.kind === 'jwks'
    ? { kind: key.kind, id: key.id, url: key.url }
    : { kind: key.kind, id: key.id, key: createSecretKey(key.secret) };
}
