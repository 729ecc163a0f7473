/**
 * Tokens that were verified, each for one tenant. Found by their last characters, which hardly ever are the same in two signatures
 * and cost a fifth of a digest, and taken for what they are only if all of the token is the same. The oldest goes first, unless it was
 * used since it was last looked at: a second chance costs nothing on the way of a request, an order of use would.
 */
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
  readonly token: string;
  readonly verified: Verified;
  isUsed: boolean;
}

export interface CacheBounds {
  readonly maxEntries: number;
  /** Of all tokens in it, default 16 Mi; what was read from them takes a few times as much at the worst */
  readonly maxCharacters?: number;
}

/** As many as a signature of HS256 has. */
const KEY_CHARACTERS = 43;
const DEFAULT_MAX_CHARACTERS = 16 * 1024 * 1024;
/** Looked at for one place; then the oldest goes, used or not. */
const MAX_CHANCES = 16;

export class VerifiedCache {
  /** The oldest first. */
  readonly #entries = new Map<string, Entry>();
  readonly #maxEntries: number;
  readonly #maxCharacters: number;
  #characters = 0;

  constructor({ maxEntries, maxCharacters = DEFAULT_MAX_CHARACTERS }: CacheBounds) {
    this.#maxEntries = maxEntries;
    this.#maxCharacters = maxCharacters;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(token: string, tenant: TenantId | null): Verified | null {
    const entry = this.#entries.get(keyOf(token, tenant));
    if (entry === undefined || entry.token !== token) return null;
    entry.isUsed = true;
    return entry.verified;
  }

  set(token: string, tenant: TenantId | null, verified: Verified): void {
    const key = keyOf(token, tenant);
    this.#remove(key);
    while (this.#entries.size > 0 && !this.#hasRoomFor(token)) this.#makeRoom();
    // A copy: V8 makes a part of a text by pointing into it, and a token may come out of 64 KiB of a URL.
    const own = Buffer.from(token).toString();
    this.#entries.set(key, { token: own, verified, isUsed: false });
    this.#characters += token.length;
  }

  delete(token: string, tenant: TenantId | null): void {
    this.#remove(keyOf(token, tenant));
  }

  #hasRoomFor({ length }: string): boolean {
    return this.#entries.size < this.#maxEntries && this.#characters + length <= this.#maxCharacters;
  }

  #makeRoom(): void {
    let chances = MAX_CHANCES;
    // Those that are put at the end again come up again, as unused ones.
    for (const [key, entry] of this.#entries) {
      if (!entry.isUsed || chances-- === 0) return this.#remove(key);
      entry.isUsed = false;
      this.#entries.delete(key);
      this.#entries.set(key, entry);
    }
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#characters -= entry.token.length;
  }
}

function keyOf(token: string, tenant: TenantId | null): string {
  return `${token.slice(-KEY_CHARACTERS)} ${tenant ?? ''}`; // becomes a text of its own when it is looked up
}
