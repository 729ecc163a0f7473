/** The calls of the webtask API that manage: tokens, webtasks, logs (webtask contract, 1, 2, 4-7, 18). */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Principal, TokenVerifier } from '../auth/principal.ts';
import { BerthError } from '../contracts/errors.ts';
import { type FunctionName, functionNameSchema, type TenantId } from '../contracts/ids.ts';
import {
  authenticate,
  forbidden,
  isOperator,
  mustManage,
  mustManageName,
  namesOf,
  peekTenant,
  tokenOf,
} from './access.ts';
import { type DeployTurns, expectedBytes } from '../control/deploy-turns.ts';
import { peekClaims } from '../invoke/caller-token.ts';
import { parseClaims, parseWebtask } from './claims.ts';
import type { Issuance } from './issuance.ts';
import type { LogDesk } from './log-desk.ts';
import { parseCodeReference, parseContainer, parseName } from './names.ts';
import { takeTurn } from './turns.ts';
import { webtaskLimits } from './webtask-limits.ts';
import { type Webtask, type Webtasks, webtaskUrl } from './webtasks.ts';

const MAX_BODY_BYTES = webtaskLimits.webtaskBodyBytes.value;
const DEFAULT_LIST = 100;
const MAX_LIST = webtaskLimits.webtaskListRows.value;

export interface ManagementParts {
  readonly webtasks: Webtasks;
  readonly issuance: Issuance;
  readonly verifier: TokenVerifier;
  readonly logs: LogDesk;
  readonly deploys: Pick<DeployTurns, 'take'>;
  readonly baseOf: (request: FastifyRequest) => string;
}

type Query = Readonly<Record<string, string | string[] | undefined>>;
type Params = Readonly<Record<string, string>>;

export function registerManagement(app: FastifyInstance, parts: ManagementParts): void {
  const routes = new ManagementRoutes(parts);
  app.post('/tokens/issue', { bodyLimit: MAX_BODY_BYTES, onRequest: routes.early }, routes.issue);
  app.get('/tokens/inspect', routes.inspect);
  app.get('/webtask/:container', routes.list);
  app.get('/webtask/:container/:name', routes.get);
  app.put('/webtask/:container/:name', { bodyLimit: MAX_BODY_BYTES, onRequest: routes.early }, routes.put);
  app.delete('/webtask/:container/:name', routes.remove);
  app.get('/logs/tenant/:container', routes.streamLogs);
}

class ManagementRoutes {
  readonly #parts: ManagementParts;

  constructor(parts: ManagementParts) {
    this.#parts = parts;
  }

  /** Nobody's body is read before their token is known to be good, and it is their turn. */
  readonly early = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const { container } = request.params as Params;
    const principal = await this.#principal(
      request,
      container === undefined ? null : parseContainer(container),
    );
    const turn = { owner: principal.tenant ?? '', bytes: expectedBytes(request.headers, MAX_BODY_BYTES) };
    await takeTurn(this.#parts.deploys, turn, reply.raw);
  };

  readonly issue = async (request: FastifyRequest, reply: FastifyReply): Promise<string> => {
    const principal = await this.#principal(request, null);
    const { token, webtask } = await this.#parts.issuance.issue(principal, parseClaims(request.body));
    if (webtask !== null) reply.header('location', webtaskUrl(this.#parts.baseOf(request), webtask));
    // Not application/jwt: clients read only text.
    reply.type('text/plain; charset=utf-8');
    return token;
  };

  readonly inspect = async (request: FastifyRequest): Promise<Record<string, unknown>> => {
    const query = request.query as Query;
    const token = single(query['token']);
    if (token === null) throw new BerthError('BAD_REQUEST', { reason: 'token: say which token to inspect' });
    const principal = await this.#principal(request, null);
    const subject = await authenticate(this.#parts.verifier, token, peekTenant(token));
    mayInspect(principal, subject);
    const claims = peekClaims(token) ?? subject.claims;
    const reference = parseCodeReference(claims['url']);
    const isOwn = reference !== null && reference.tenant === subject.tenant;
    if (!isOwn) return { ...claims };
    mustManageName(principal, reference.name);
    const fn = await this.#parts.webtasks.find(reference.tenant, reference.name);
    return {
      ...claims,
      ...(fn === null || fn.webtask === null ? {} : await this.#details(request, fn as Webtask)),
    };
  };

  readonly list = async (request: FastifyRequest): Promise<readonly unknown[]> => {
    const { principal, tenant } = await this.#managed(request);
    const query = request.query as Query;
    const found = await this.#parts.webtasks.list(tenant, {
      offset: numberOf(query, 'offset', 0),
      limit: Math.min(numberOf(query, 'limit', DEFAULT_LIST), MAX_LIST),
      meta: pairsOf(query['meta']),
      names: namesOf(principal),
    });
    const options = { ...this.#viewOptions(request), decrypt: false };
    return Promise.all(found.map((fn) => this.#parts.webtasks.view(fn, options)));
  };

  readonly get = async (request: FastifyRequest): Promise<unknown> => {
    const { tenant, name } = await this.#named(request);
    const fn = await this.#parts.webtasks.get(tenant, name);
    return this.#parts.webtasks.view(fn, this.#viewOptions(request));
  };

  readonly put = async (request: FastifyRequest): Promise<unknown> => {
    const { container = '', name = '' } = request.params as Params;
    const place = { tenant: parseContainer(container), name: parseName(name) };
    const principal = await this.#principal(request, place.tenant);
    const fn = await this.#parts.issuance.put(principal, place, parseWebtask(request.body));
    return this.#parts.webtasks.view(fn, { ...this.#viewOptions(request), decrypt: false, fetchCode: false });
  };

  readonly remove = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const { tenant, name } = await this.#named(request);
    await this.#parts.webtasks.remove(tenant, name);
    reply.code(204);
  };

  readonly streamLogs = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const { principal, tenant, token } = await this.#managed(request);
    const names = namesOf(principal);
    if (names !== null && names.size !== 1) throw forbidden('it is for some webtasks only');
    const [name = null] = names ?? [];
    const release = this.#parts.logs.admit(tenant);
    reply.hijack();
    await this.#parts.logs.stream({
      tenant,
      token,
      fn: name === null ? null : functionNameSchema.parse(name),
      request: request.raw,
      response: reply.raw,
      release,
    });
  };

  /** `ectx` when secrets are asked for, `code`, `meta`, each if asked for. */
  async #details(request: FastifyRequest, fn: Webtask): Promise<Record<string, unknown>> {
    const options = this.#viewOptions(request);
    const { secrets, code, webtask_url } = await this.#parts.webtasks.view(fn, options);
    const hasSecrets = secrets !== undefined && Object.keys(secrets).length > 0;
    return {
      webtask_url,
      ...(hasSecrets ? { ectx: secrets, secrets } : {}),
      ...(code === undefined ? {} : { code }),
      ...(isSet(request, 'meta') ? { meta: fn.meta } : {}),
    };
  }

  #viewOptions(request: FastifyRequest): { decrypt: boolean; fetchCode: boolean; base: string } {
    return {
      decrypt: isSet(request, 'decrypt'),
      fetchCode: isSet(request, 'fetch_code'),
      base: this.#parts.baseOf(request),
    };
  }

  async #named(request: FastifyRequest): Promise<{ tenant: TenantId; name: FunctionName }> {
    const { principal, tenant } = await this.#managed(request);
    const name = parseName((request.params as Params)['name'] ?? '');
    mustManageName(principal, name);
    return { tenant, name };
  }

  async #managed(
    request: FastifyRequest,
  ): Promise<{ principal: Principal; tenant: TenantId; token: string }> {
    const tenant = parseContainer((request.params as Params)['container'] ?? '');
    const token = tokenOfCall(request);
    const principal = await authenticate(this.#parts.verifier, token, tenant);
    mustManage(principal, tenant);
    return { principal, tenant, token: token! };
  }

  #principal(request: FastifyRequest, tenant: TenantId | null): Promise<Principal> {
    const token = tokenOfCall(request);
    const keysOf = tenant ?? (token === null ? null : peekTenant(token));
    return authenticate(this.#parts.verifier, token, keysOf);
  }
}

function tokenOfCall(request: FastifyRequest): string | null {
  return tokenOf(request.raw, single((request.query as Query)['key']));
}

/** @throws BerthError NOT_FOUND, FORBIDDEN */
function mayInspect(principal: Principal, subject: Principal): void {
  if (subject.tenant !== null) mustManage(principal, subject.tenant);
  else if (!isOperator(principal)) throw forbidden('it is not the operator');
}

function single(value: string | string[] | undefined): string | null {
  return (Array.isArray(value) ? value[0] : value) ?? null;
}

function isSet(request: FastifyRequest, name: string): boolean {
  const value = single((request.query as Query)[name]);
  return value === 'true' || value === '1';
}

function numberOf(query: Query, name: string, fallback: number): number {
  const text = single(query[name]);
  if (text === null || text === '') return fallback;
  if (!/^\d{1,9}$/.test(text))
    throw new BerthError('BAD_REQUEST', { reason: `${name}: must be a whole number` });
  return Number(text);
}

/** `meta=key:value`, as often as wanted. */
function pairsOf(value: string | string[] | undefined): ReadonlyMap<string, string> {
  const pairs = value === undefined ? [] : [value].flat();
  return new Map(
    pairs.map((pair) => {
      const colon = pair.indexOf(':');
      if (colon < 1) throw new BerthError('BAD_REQUEST', { reason: 'meta: must be key:value' });
      return [pair.slice(0, colon), pair.slice(colon + 1)];
    }),
  );
}
