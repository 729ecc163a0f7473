/** Tokens that were verified, by their SHA-256 and the tenant they were verified for. Least recently used go first. */
import { hash } from 'node:crypto';
import type { TenantId } from '../contracts/ids.ts';
import type { PlatformState, TenantState } from './key-ring.ts';
import type { Principal } from './principal.ts';

/** What a verification rests on; it holds while all of it is still the same. */
export interface Verified {
  readonly principal: Principal;
  readonly platform: PlatformState;
  readonly tenants: readonly { readonly id: TenantId; readonly state: TenantState }[];
  /** Ids whose revocation refuses the token: its own, and its ancestors'. */
  readonly revocableIds: readonly string[];
  /** milliseconds since 1970: end of the token or of the key set that proved it */
  readonly until: number;
}

export class VerifiedCache {
  readonly #entries = new Map<string, Verified>();
  readonly #maxEntries: number;

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries;
  }

  get(token: string, tenant: TenantId | null): { readonly key: string; readonly verified: Verified | null } {
    const key = `${hash('sha256', token, 'base64url')} ${tenant ?? ''}`;
    const verified = this.#entries.get(key) ?? null;
    if (verified !== null) {
      this.#entries.delete(key);
      this.#entries.set(key, verified);
    }
    return { key, verified };
  }

  set(key: string, verified: Verified): void {
    if (this.#entries.size >= this.#maxEntries) this.#entries.delete(this.#entries.keys().next().value!);
    this.#entries.set(key, verified);
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}
