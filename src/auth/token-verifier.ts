/** Verifies tokens, and remembers what it verified for as long as nothing changes that it rests on. */
import type { TenantId } from '../contracts/ids.ts';
import type { Clock } from '../kernel/clock.ts';
import { type Claims, parseClaims } from './claims.ts';
import type { JwksCache } from './jwks/jwks-cache.ts';
import type { KeyRing, TenantState } from './key-ring.ts';
import type { CachedTokenVerifier, Principal } from './principal.ts';
import { type Proven, prove } from './proof.ts';
import { MAX_TOKEN_CHARACTERS, refusal } from './refusal.ts';
import { ownTokenId, type RevocationList } from './revocation-list.ts';
import { type Expectations, platformPrincipal, tenantPrincipal } from './rights.ts';
import { parseTokenText } from './token-text.ts';
import { type Verified, VerifiedCache } from './verified-cache.ts';

export interface TokenVerifierOptions {
  readonly ring: KeyRing;
  readonly revoked: RevocationList;
  readonly jwks: JwksCache;
  readonly clock: Pick<Clock, 'now'>;
  /** `iss` of the platform's own tokens, default `berth` */
  readonly issuer?: string;
  /** `aud` that tokens are for when they name one, default `berth`; a tenant's own tokens may name the tenant instead */
  readonly audience?: string;
  /** Verified tokens that are remembered, default 10,000 */
  readonly maxCached?: number;
}

const DEFAULT_NAME = 'berth';
const DEFAULT_MAX_CACHED = 10_000;
/** Times a verification starts anew because keys changed meanwhile. */
const MAX_ATTEMPTS = 5;
const MAX_ANCESTORS = 64;

export function createTokenVerifier(options: TokenVerifierOptions): CachedTokenVerifier {
  return new Verifier(options);
}

class Verifier implements CachedTokenVerifier {
  readonly #options: TokenVerifierOptions;
  readonly #expected: Expectations;
  readonly #cache: VerifiedCache;

  constructor(options: TokenVerifierOptions) {
    this.#options = options;
    this.#expected = { issuer: options.issuer ?? DEFAULT_NAME, audience: options.audience ?? DEFAULT_NAME };
    this.#cache = new VerifiedCache({ maxEntries: options.maxCached ?? DEFAULT_MAX_CACHED });
  }

  verifyCached(token: string, tenant: TenantId | null): Principal | null {
    if (token.length > MAX_TOKEN_CHARACTERS) return null;
    const verified = this.#cache.get(token, tenant);
    if (verified === null) return null;
    if (this.#holds(verified)) return verified.principal;
    this.#cache.delete(token, tenant);
    return null;
  }

  async verify(token: string, tenant: TenantId | null): Promise<Principal> {
    const cached = this.verifyCached(token, tenant);
    if (cached !== null) return cached;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const verified = await this.#verifyNow(token, tenant);
      if (!this.#isCurrent(verified)) continue;
      if (this.#options.revoked.hasAny(verified.revocableIds)) throw refusal('it was revoked');
      this.#cache.set(token, tenant, verified);
      return verified.principal;
    }
    throw refusal('keys changed while it was verified');
  }

  #holds(verified: Verified): boolean {
    return (
      this.#options.clock.now() < verified.until &&
      this.#isCurrent(verified) &&
      !this.#options.revoked.hasAny(verified.revocableIds)
    );
  }

  #isCurrent({ platform, tenants }: Verified): boolean {
    const { ring } = this.#options;
    if (ring.currentPlatform() !== platform) return false;
    for (const { id, state } of tenants) if (ring.currentTenant(id) !== state) return false;
    return true;
  }

  async #verifyNow(token: string, tenant: TenantId | null): Promise<Verified> {
    const { ring, jwks, clock } = this.#options;
    const text = parseTokenText(token);
    const platform = await ring.platform();
    const own = tenant === null ? null : { id: tenant, state: await ring.tenant(tenant) };
    const proven = await prove(text, { platform, own: own?.state ?? null, jwks });
    const claims = parseClaims(proven.payload, clock.now());
    const principal =
      proven.signer === 'platform'
        ? platformPrincipal(claims, this.#expected)
        : this.#tenantPrincipal(claims, own!.id, proven);
    const subject = await this.#subjectOf(principal, own);
    checkValidFrom(claims, subject?.state ?? null, proven);
    const tenants = [own, subject].filter((one) => one !== null);
    return {
      principal,
      platform,
      tenants,
      revocableIds: revocableIds(claims, principal),
      until: Math.min(principal.expiresAt ?? Infinity, proven.until ?? Infinity),
    };
  }

  #tenantPrincipal(claims: Claims, tenant: TenantId, { keySetUrl }: Proven): Principal {
    const now = this.#options.clock.now();
    return tenantPrincipal(claims, { ...this.#expected, tenant, keySetUrl, now });
  }

  /** The tenant whose rights the token carries. */
  async #subjectOf(
    { tenant }: Principal,
    own: { readonly id: TenantId; readonly state: TenantState } | null,
  ): Promise<{ readonly id: TenantId; readonly state: TenantState } | null> {
    if (tenant === null || tenant === own?.id) return tenant === null ? null : own;
    return { id: tenant, state: await this.#options.ring.tenant(tenant) };
  }
}

/**
 * Tokens from before `tokensValidFrom` are gone; and tokens that the platform issued to an earlier tenant of the same name
 * are none of this one's.
 */
function checkValidFrom({ issuedAt }: Claims, state: TenantState | null, { signer }: Proven): void {
  if (state === null) return;
  if (!state.exists) throw refusal('its tenant is not there');
  const birth = signer === 'platform' ? Math.floor(state.createdAt / 1_000) * 1_000 : 0;
  const validFrom = Math.max(state.tokensValidFrom, birth);
  if (validFrom === 0) return;
  if (issuedAt === null) throw refusal('it does not say when it was issued');
  if (issuedAt < validFrom) throw refusal('it was revoked with all tokens of its tenant');
}

function revocableIds(claims: Claims, { tenant }: Principal): readonly string[] {
  const ids = claims.tokenId === null ? [] : [claims.tokenId];
  const { ca } = claims.all;
  if (Array.isArray(ca)) {
    if (ca.length > MAX_ANCESTORS) throw refusal('it has too many ancestors');
    for (const ancestor of ca) if (typeof ancestor === 'string') ids.push(ancestor);
  }
  return tenant === null ? ids : [...ids, ...ids.map((id) => ownTokenId(tenant, id))];
}
