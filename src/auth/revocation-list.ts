/** Ids of tokens that are refused although they are well signed, in memory: a look-up for each request. */
import type { TenantId } from '../contracts/ids.ts';
import type { Clock } from '../kernel/clock.ts';

export interface RevokedToken {
  readonly jti: string;
  /** milliseconds since 1970; null: never */
  readonly expiresAt: number | null;
}

export interface RevocationListOptions {
  readonly clock: Pick<Clock, 'now'>;
}

const PRUNE_EVERY_MS = 60_000;
/** Longer than any tolerance of the verifier. */
const KEEP_EXPIRED_MS = 60_000;

/**
 * The id under which a tenant revokes a token of its own making, so that it does not meet ids of other tenants' tokens:
 * a plain id is for tokens that the platform issued.
 */
export function ownTokenId(tenant: TenantId, jti: string): string {
  return `${tenant}/${jti}`;
}

/** The start of all ids that a tenant revokes. */
export function ownTokenPrefix(tenant: TenantId): string {
  return ownTokenId(tenant, '');
}

/** Holds what the store holds, which bounds it for each tenant (limit `revokedTokens`): a list that is full would refuse all. */
export class RevocationList {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #expiries = new Map<string, number | null>();
  #prunedAt: number;

  constructor(options: RevocationListOptions) {
    this.#clock = options.clock;
    this.#prunedAt = options.clock.now();
  }

  get size(): number {
    return this.#expiries.size;
  }

  hasAny(jtis: readonly string[]): boolean {
    if (this.#expiries.size === 0) return false;
    for (const jti of jtis) if (this.#expiries.has(jti)) return true;
    return false;
  }

  /** Takes effect at once. Idempotent; what was said first is kept, as in the store. */
  add({ jti, expiresAt }: RevokedToken): void {
    if (this.#expiries.has(jti)) return;
    if (this.#clock.now() - this.#prunedAt >= PRUNE_EVERY_MS) this.#prune();
    this.#expiries.set(jti, expiresAt);
  }

  load(tokens: Iterable<RevokedToken>): void {
    for (const token of tokens) this.add(token);
  }

  #prune(): void {
    this.#prunedAt = this.#clock.now();
    const oldest = this.#prunedAt - KEEP_EXPIRED_MS;
    for (const [jti, expiresAt] of this.#expiries) {
      if (expiresAt !== null && expiresAt < oldest) this.#expiries.delete(jti);
    }
  }
}
