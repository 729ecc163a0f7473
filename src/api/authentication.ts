/** Who asks, and whether this route is theirs. Another tenant's things look the same as things that are not there. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Principal, Scope } from '../auth/principal.ts';
import { readBearer } from '../auth/read-bearer.ts';
import { BerthError } from '../contracts/errors.ts';
import type { TenantId } from '../contracts/ids.ts';
import type { Tenant } from '../contracts/model.ts';
import type { Route } from './route.ts';
import type { ApiServices } from './services.ts';

export interface Caller {
  readonly principal: Principal | null;
  /** The tenant that the address names. */
  readonly tenant: Tenant | null;
}

export interface Attempt {
  readonly route: Route;
  readonly headers: IncomingHttpHeaders;
  readonly params: unknown;
  readonly query: unknown;
}

/** @throws BerthError TOKEN_MISSING, TOKEN_INVALID, NAME_INVALID, FORBIDDEN, NOT_FOUND, TENANT_SUSPENDED */
export async function admit(services: ApiServices, attempt: Attempt): Promise<Caller> {
  const { route, params } = attempt;
  const isOpen = route.scope === 'open' || (route.scope === 'metrics' && services.metricsPublic);
  if (isOpen) return { principal: null, tenant: null };
  const token = bearerOf(attempt.headers);
  const tenant = route.tenantOf(params);
  const principal = await services.verifier.verify(token, tenant);
  checkTenant(principal, tenant);
  const scope = neededScope(route);
  if (scope !== null) services.authorise(principal, scope, tenant, namedFunction(attempt));
  if (tenant === null) return { principal, tenant };
  const record = await services.control.getTenant(tenant);
  if (record.state === 'suspended' && !principal.scopes.has('operator')) {
    throw new BerthError('TENANT_SUSPENDED');
  }
  return { principal, tenant: record };
}

function bearerOf(headers: IncomingHttpHeaders): string {
  if (headers.authorization === undefined) throw new BerthError('TOKEN_MISSING');
  const token = readBearer(headers.authorization);
  if (token === null) throw new BerthError('TOKEN_INVALID', { reason: 'the header is not "Bearer <token>"' });
  return token;
}

/** Before the scope: a 403 would tell that the other tenant is there (hostile case 36). */
function checkTenant(principal: Principal, tenant: TenantId | null): void {
  if (tenant === null || principal.tenant === null || principal.tenant === tenant) return;
  throw new BerthError('NOT_FOUND', { what: `tenant "${tenant}"` });
}

function neededScope(route: Route): Scope | null {
  if (route.scope === 'manage') return 'manage';
  return route.scope === 'any' || route.scope === 'open' ? null : 'operator';
}

/** A token for one function opens only what names that function. */
function namedFunction({ params, query }: Attempt): string | undefined {
  return text(params, 'fn') ?? text(query, 'function');
}

function text(source: unknown, name: string): string | undefined {
  const value: unknown = Object(source)[name];
  return typeof value === 'string' ? value : undefined;
}
