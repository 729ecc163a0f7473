/** From verified claims to what they allow. Who signed decides how much can be claimed at all. */
import type { TenantId } from '../contracts/ids.ts';
import { tenantIdSchema } from '../contracts/ids.ts';
import { type Claims, textOf } from './claims.ts';
import type { Principal, Scope } from './principal.ts';
import { refusal } from './refusal.ts';

/** What tokens must be for and from. */
export interface Expectations {
  /** `iss` of the platform's own tokens */
  readonly issuer: string;
  /** `aud` that the platform answers to */
  readonly audience: string;
}

/** Tokens that a tenant's back end signs without `exp` are good for this long after their `iat`. */
const MAX_AGE_WITHOUT_EXPIRY_MS = 24 * 3_600_000;
const MAX_FUNCTION_CHARACTERS = 128;
/** Where a webtask's code is: `webtask://localhost/api/data/code/<container>%2F<name>` (webtask contract, 1.3). */
const CODE_URL = /^webtask:\/\/[^/]*\/api\/data\/code\/([^/?#]+)$/;

/** Rights of a token signed with the platform's ring. @throws BerthError TOKEN_INVALID */
export function platformPrincipal(claims: Claims, expected: Expectations): Principal {
  if (claims.issuer !== expected.issuer) throw refusal('it has another issuer');
  checkAudience(claims, [expected.audience]);
  const tenant = tenantOf(claims);
  const isWebtask = claims.all['url'] !== undefined || claims.all['code'] !== undefined;
  const fn = functionOf(claims) ?? (isWebtask ? functionOfUrl(claims, tenant) : null);
  const isForOne = isWebtask || fn !== null;
  const claimed = scopesOf(claims) ?? (isForOne ? ['run'] : []);
  if (tenant === null && !claimed.includes('operator')) throw refusal('it names no tenant');
  // A token of a tenant never gives a right on the platform, one for running a webtask none but that.
  const allowed = claimed.filter(
    (scope) => (tenant === null || scope !== 'operator') && (!isWebtask || scope === 'run'),
  );
  return principal(claims, { scopes: allowed, tenant, fn, expiresAt: claims.expiresAt });
}

/** Rights of a token signed or encrypted with a key of `tenant`. `keySetUrl`: of a key set. @throws BerthError TOKEN_INVALID */
export function tenantPrincipal(
  claims: Claims,
  options: Expectations & {
    readonly tenant: TenantId;
    readonly keySetUrl: string | null;
    readonly now: number;
  },
): Principal {
  const { tenant, keySetUrl, now } = options;
  if (textOf(claims.all, 'ten') !== null && claims.all['ten'] !== tenant)
    throw refusal('it is for another tenant');
  checkIssuer(claims, tenant, keySetUrl);
  checkAudience(claims, [options.audience, tenant]);
  // The issuer of a key set signs for others too: without an audience any of its tokens would open this tenant.
  if (keySetUrl !== null && claims.audience === null)
    throw refusal(`it names no audience: its "aud" must be "${options.audience}" or "${tenant}"`);
  const scopes = (scopesOf(claims) ?? ['run']).filter((scope) => scope !== 'operator');
  return principal(claims, { scopes, tenant, fn: functionOf(claims), expiresAt: tenantExpiry(claims, now) });
}

function tenantExpiry({ expiresAt, issuedAt }: Claims, now: number): number {
  if (expiresAt !== null) return expiresAt;
  if (issuedAt === null) throw refusal('it has neither "exp" nor "iat"');
  if (now >= issuedAt + MAX_AGE_WITHOUT_EXPIRY_MS)
    throw refusal('it has no "exp" and is older than 24 hours');
  return issuedAt + MAX_AGE_WITHOUT_EXPIRY_MS;
}

function checkAudience({ audience }: Claims, accepted: readonly string[]): void {
  if (audience !== null && !audience.some((one) => accepted.includes(one))) {
    throw refusal('it is for another audience');
  }
}

function checkIssuer({ issuer }: Claims, tenant: TenantId, keySetUrl: string | null): void {
  if (issuer === null || issuer === tenant) return;
  const origin = URL.parse(issuer)?.origin;
  if (keySetUrl !== null && origin !== undefined && origin === URL.parse(keySetUrl)?.origin) return;
  throw refusal('it has another issuer');
}

function tenantOf(claims: Claims): TenantId | null {
  const ten = textOf(claims.all, 'ten');
  if (ten === null) return null;
  const parsed = tenantIdSchema.safeParse(ten);
  if (parsed.success) return parsed.data;
  throw refusal('its "ten" is no tenant');
}

function functionOf(claims: Claims): string | null {
  const fn = textOf(claims.all, 'jtn') ?? nameListed(claims);
  if (fn !== null && fn.length > MAX_FUNCTION_CHARACTERS) throw refusal('the name in it is too long');
  return fn;
}

/**
 * webtask's list of the names that a token is for. Only one is kept to everywhere; a longer list must not be taken for
 * none, which would be all.
 */
function nameListed({ all: { jtnm } }: Claims): string | null {
  if (jtnm === undefined) return null;
  const names: readonly unknown[] = Array.isArray(jtnm) ? jtnm : [];
  const [name] = names;
  if (names.length === 1 && typeof name === 'string') return name;
  throw refusal('its "jtnm" must hold one name');
}

/** The function of a webtask token without a name of its own; '' matches none. */
function functionOfUrl(claims: Claims, tenant: TenantId | null): string {
  const { url } = claims.all;
  const encoded = typeof url === 'string' ? CODE_URL.exec(url)?.[1] : undefined;
  if (encoded === undefined || tenant === null) return '';
  const place = decoded(encoded);
  return place.startsWith(`${tenant}/`) ? place.slice(tenant.length + 1) : '';
}

function decoded(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return ''; // broken escapes name nothing
  }
}

/** null: none claimed. Words that are no scope of ours are those of other systems (OAuth 2.0, RFC 6749, 3.3). */
function scopesOf(claims: Claims): readonly Scope[] | null {
  const scope = textOf(claims.all, 'scope');
  if (scope === null) return null;
  const words = scope.split(' ');
  return (['operator', 'manage', 'run'] as const).filter((name) => words.includes(name));
}

function principal(
  claims: Claims,
  rights: Pick<Principal, 'tenant' | 'fn' | 'expiresAt'> & { readonly scopes: readonly Scope[] },
): Principal {
  return Object.freeze({
    scopes: new Set(rights.scopes),
    tenant: rights.tenant,
    fn: rights.fn,
    tokenId: claims.tokenId,
    expiresAt: rights.expiresAt,
    claims: claims.all,
  });
}
