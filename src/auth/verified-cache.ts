/**
 * Tokens that were verified, by their SHA-256 and the tenant they were verified for. The oldest goes first, unless it was used
 * since it was last looked at: a second chance costs nothing on the way of a request, an order of use would.
 */
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

interface Entry {
  readonly verified: Verified;
  isUsed: boolean;
}

/** Looked at for one place; then the oldest goes, used or not. */
const MAX_CHANCES = 16;

export class VerifiedCache {
  /** The oldest first. */
  readonly #entries = new Map<string, Entry>();
  readonly #maxEntries: number;

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries;
  }

  get(token: string, tenant: TenantId | null): { readonly key: string; readonly verified: Verified | null } {
    const key = `${hash('sha256', token, 'base64url')} ${tenant ?? ''}`;
    const entry = this.#entries.get(key);
    if (entry === undefined) return { key, verified: null };
    entry.isUsed = true;
    return { key, verified: entry.verified };
  }

  set(key: string, verified: Verified): void {
    if (this.#entries.size >= this.#maxEntries && !this.#entries.has(key)) this.#makeRoom();
    this.#entries.set(key, { verified, isUsed: false });
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  #makeRoom(): void {
    let chances = MAX_CHANCES;
    // Those that are put at the end again come up again, as unused ones.
    for (const [key, entry] of this.#entries) {
      this.#entries.delete(key);
      if (!entry.isUsed || chances-- === 0) return;
      entry.isUsed = false;
      this.#entries.set(key, entry);
    }
  }
}
