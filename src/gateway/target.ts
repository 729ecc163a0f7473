/**
 * What a request's target means, decided once: router and authorisation use the same parsed value. A target that
 * another parser (a proxy in front, a framework behind) could read differently is refused (hostile case 30).
 */
import { BerthError } from '../contracts/errors.ts';
import { functionNameSchema, tenantIdSchema } from '../contracts/ids.ts';
import type { Directory, ExchangeOptions, Route } from '../invoke/invoker.ts';

/** A function, and what it gets to see of the URL. It is the invoker's options as well, so that a request makes one object. */
export class FunctionTarget implements ExchangeOptions {
  readonly route: Route;
  readonly url: string;
  readonly basePath: string;
  sendContinue = false;
  /** instead of the request's own, when the caller's token is not for code */
  headers?: readonly string[];

  constructor(route: Route, url: string, basePath: string) {
    this.route = route;
    this.url = url;
    this.basePath = basePath;
  }
}

export type Target = FunctionTarget | 'control' | BerthError;

const RUN_PREFIX = '/run/';
/** In a path: controls, space, backslash, fragment, an encoded NUL, and dot segments in any spelling. */
const AMBIGUOUS = /[\x00-\x20\x7f\\#]|%00|\/(?:\.|%2e){1,2}(?=\/|$)/i;
const BAD_QUERY = /[\x00-\x20\x7f#]/;
/** RFC 9110, 4.2.3: a registered name or an address, and a port. No user information, no percent-encoding. */
const HOST = /^(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;

export interface TargetResolverOptions {
  readonly directory: Directory;
  /** `{tenant}.{domain}` is the tenant's own host; null: only `/run/…` */
  readonly domain: string | null;
}

export class TargetResolver {
  readonly #directory: Directory;
  readonly #hostSuffix: string | null;

  constructor({ directory, domain }: TargetResolverOptions) {
    this.#directory = directory;
    this.#hostSuffix = domain === null ? null : `.${domain.toLowerCase()}`;
  }

  /** @param host the Host header; undefined only in HTTP/1.0 */
  resolve(url: string, host: string | undefined): Target {
    const problem = pathProblem(url);
    if (problem !== null) return problem;
    const mark = url.indexOf('?');
    const path = mark === -1 ? url : url.slice(0, mark);
    if (host !== undefined && !HOST.test(host)) return refused('the Host header is not valid');
    const tenant = this.#hostSuffix === null || host === undefined ? null : this.#tenantOfHost(host);
    if (tenant !== null) return this.#find(url, path.length, { tenant, nameStart: 1 });
    if (!path.startsWith(RUN_PREFIX)) return path === '/run' ? new BerthError('ROUTE_NOT_FOUND') : 'control';
    const slash = path.indexOf('/', RUN_PREFIX.length);
    if (slash === -1) return new BerthError('ROUTE_NOT_FOUND');
    return this.#find(url, path.length, {
      tenant: path.slice(RUN_PREFIX.length, slash),
      nameStart: slash + 1,
    });
  }

  /** @returns what stands before the platform's domain; null: the host is not below it */
  #tenantOfHost(host: string): string | null {
    const colon = host.indexOf(':');
    const name = (colon === -1 ? host : host.slice(0, colon)).toLowerCase();
    const suffix = this.#hostSuffix!;
    return name.endsWith(suffix) ? name.slice(0, -suffix.length) : null;
  }

  #find(url: string, pathEnd: number, at: { tenant: string; nameStart: number }): Target {
    const slash = url.indexOf('/', at.nameStart);
    const nameEnd = slash === -1 || slash > pathEnd ? pathEnd : slash;
    const name = url.slice(at.nameStart, nameEnd);
    const known = this.#directory.find(at.tenant, name) ?? this.#findDecoded(at.tenant, name);
    if (known instanceof BerthError) return known;
    const rest = url.slice(nameEnd);
    return new FunctionTarget(known, rest.startsWith('/') ? rest : `/${rest}`, url.slice(0, nameEnd));
  }

  /** Names in the directory hold no `%`: what was not found as it is, is decoded once, and must then be a name. */
  #findDecoded(rawTenant: string, rawName: string): Route | BerthError {
    if (rawName === '') return new BerthError('ROUTE_NOT_FOUND');
    const tenant = tenantIdSchema.safeParse(decoded(rawTenant));
    const name = functionNameSchema.safeParse(decoded(rawName));
    if (!tenant.success || !name.success) return refused('the path names no tenant and function');
    const route = this.#directory.find(tenant.data, name.data);
    return (
      route ?? new BerthError('NOT_FOUND', { what: `function "${name.data}" of tenant "${tenant.data}"` })
    );
  }
}

/** @returns why a request target could be read in two ways, or null */
export function pathProblem(url: string): BerthError | null {
  if (url.charCodeAt(0) !== 47) return refused('the request target must start with "/"');
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  if (AMBIGUOUS.test(path) || url.startsWith('//')) return refused('the path is ambiguous');
  if (mark !== -1 && BAD_QUERY.test(url.slice(mark))) return refused('the query holds a control character');
  return null;
}

function decoded(segment: string): string | null {
  try {
    return decodeURIComponent(segment);
  } catch (error) {
    if (error instanceof URIError) return null;
    throw error;
  }
}

function refused(reason: string): BerthError {
  return new BerthError('BAD_REQUEST', { reason });
}
