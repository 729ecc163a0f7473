/** Who asks: tokens of requests, and what they allow in a container. */
import type { IncomingMessage } from 'node:http';
import { authorise } from '../auth/authorise.ts';
import { MAX_TOKEN_CHARACTERS } from '../auth/refusal.ts';
import type { Principal, TokenVerifier } from '../auth/principal.ts';
import { readBearer } from '../auth/read-bearer.ts';
import { BerthError } from '../contracts/errors.ts';
import type { TenantId } from '../contracts/ids.ts';
import { tenantIdSchema } from '../contracts/ids.ts';
import { peekClaims } from '../invoke/caller-token.ts';

/** The token of a request: the Authorization header, else `key` of the query. null: none */
export function tokenOf(request: IncomingMessage, key: string | null): string | null {
  return readBearer(request.headers.authorization) ?? (key === null || key === '' ? null : key);
}

/** The tenant that a token names itself, unverified. */
export function peekTenant(token: string): TenantId | null {
  const parsed = tenantIdSchema.safeParse(peekClaims(token)?.['ten']);
  return parsed.success ? parsed.data : null;
}

/** @throws BerthError TOKEN_MISSING, TOKEN_INVALID */
export async function authenticate(
  verifier: TokenVerifier,
  token: string | null,
  tenant: TenantId | null,
): Promise<Principal> {
  if (token === null) throw new BerthError('TOKEN_MISSING');
  if (token.length > MAX_TOKEN_CHARACTERS)
    throw new BerthError('TOKEN_INVALID', { reason: 'it is too long' });
  return verifier.verify(token, tenant);
}

export function isOperator(principal: Principal): boolean {
  return principal.scopes.has('operator');
}

/**
 * Lets through who may manage a container, or some of its webtasks: the caller looks at the names.
 * @throws BerthError NOT_FOUND when the token is another tenant's, FORBIDDEN when it has not the right
 */
export function mustManage(principal: Principal, tenant: TenantId): void {
  authorise(principal, 'manage', tenant, principal.fn ?? undefined);
}

/** @throws BerthError FORBIDDEN when the token is for other names of its container only */
export function mustManageName(principal: Principal, name: string): void {
  const names = namesOf(principal);
  if (names !== null && !names.has(name)) throw forbidden('it is for other webtasks');
}

/** The names that a token is limited to; null: all of its container. */
export function namesOf(principal: Principal): ReadonlySet<string> | null {
  return isOperator(principal) || principal.fn === null ? null : new Set([principal.fn]);
}

/** @throws BerthError FORBIDDEN */
export function mustRun(principal: Principal, tenant: TenantId, name: string): void {
  authorise(principal, 'run', tenant, name);
  mustManageName(principal, name);
}

export function forbidden(reason: string): BerthError {
  return new BerthError('FORBIDDEN', { reason });
}
