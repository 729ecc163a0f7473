/** Who asks, and what they may do. */
import type { TenantId } from '../contracts/ids.ts';

/** `operator`: everything. `manage`: functions, secrets, logs, keys of one tenant. `run`: call its functions. */
export type Scope = 'operator' | 'manage' | 'run';

export interface Principal {
  readonly scopes: ReadonlySet<Scope>;
  /** Which tenant's things the token is for; null: any (operator). */
  readonly tenant: TenantId | null;
  /** With `jtn`: only this function. */
  readonly fn: string | null;
  readonly tokenId: string | null;
  /** milliseconds since 1970; null: never */
  readonly expiresAt: number | null;
  /** Verified claims, for the faces that need more (webtask). Depth and size are limited. */
  readonly claims: Readonly<Record<string, unknown>>;
}

export interface TokenVerifier {
  /**
   * Verifies a token for things of `tenant` (null: of the platform). Keys: the platform's ring and the tenant's own.
   * @throws BerthError TOKEN_INVALID (malformed, expired, not yet valid, wrong key, algorithm, issuer or audience, revoked)
   */
  verify(token: string, tenant: TenantId | null): Promise<Principal>;
}

export interface CachedTokenVerifier extends TokenVerifier {
  /** As `verify`, at once, when this token was verified before and nothing that it rests on has changed; else null. */
  verifyCached(token: string, tenant: TenantId | null): Principal | null;
}

export interface TokenRequest {
  readonly scopes: readonly Scope[];
  readonly tenant: TenantId | null;
  readonly fn?: string;
  /** seconds; left out: never expires */
  readonly expiresInSeconds?: number;
  /** seconds since 1970 (`nbf`); left out: valid at once */
  readonly notBefore?: number;
  /** Further claims (webtask); must not name those that the issuer sets itself. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

export interface IssuedToken {
  readonly token: string;
  readonly jti: string;
}

export interface TokenIssuer {
  /**
   * Signed with the newest platform key. The header holds no `typ` (webtask contract, trap 1).
   * @throws BerthError BAD_REQUEST when the claims cannot stand in a token
   */
  issue(request: TokenRequest): Promise<IssuedToken>;
}

/**
 * Lets through who may do this in `tenant` (null: on the platform). A principal for one function only may do nothing else
 * than with that one: name it as `fn`; without it such a principal is let through for `run` (and the caller looks at
 * `principal.fn`), and refused for `manage`.
 * @throws BerthError FORBIDDEN when the principal lacks the scope; when it is another tenant's, NOT_FOUND, because what
 * there is to manage is not to be known, and FORBIDDEN for `run`
 */
export type Authorise = (principal: Principal, scope: Scope, tenant: TenantId | null, fn?: string) => void;
