/**
 * A route of the API as data: it is registered from it, described in OpenAPI from it, and listed in docs/api.md from it.
 */
import type { z } from 'zod';
import type { Principal } from '../auth/principal.ts';
import type { TenantId } from '../contracts/ids.ts';
import { noInput, parseInput, parseParams } from './input.ts';
import type { ApiServices } from './services.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** `open`: no token. `any`: any valid token. `metrics`: operator, or open where the operator says so. */
export type RouteScope = 'open' | 'any' | 'manage' | 'operator' | 'metrics';

/** Sends one piece of a live answer. Resolves when there is room for more; rejects when the reader is gone. */
export interface EventSink {
  send(text: string): Promise<void>;
  readonly signal: AbortSignal;
}

export type Answers =
  | { readonly kind: 'json'; readonly schema: z.ZodType; readonly status: number }
  | { readonly kind: 'text'; readonly mediaType: string }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'events' };

/** What a handler may return instead of the plain value when the status is not the usual one. */
export class WithStatus<T> {
  readonly status: number;
  readonly value: T;
  constructor(status: number, value: T) {
    this.status = status;
    this.value = value;
  }
}

export interface RawBody {
  readonly bytes: Buffer;
  /** lower case, without parameters; '' when the caller named none */
  readonly mediaType: string;
}

/** A request as it comes in: nothing of it is checked but the token. */
export interface RawCall {
  readonly params: unknown;
  readonly query: unknown;
  readonly json: unknown;
  readonly raw: RawBody | null;
  readonly principal: Principal | null;
  readonly services: ApiServices;
  /** Scheme and host under which the caller reached us. */
  readonly origin: string;
  /** Present on routes that answer with events. */
  readonly sink: EventSink | null;
  /** Throws as soon as the token of this request would no longer be let in. */
  readonly recheck: () => Promise<void>;
}

export interface Call<P, Q, B> extends Omit<RawCall, 'params' | 'query' | 'json'> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
}

export interface Route {
  readonly method: Method;
  /** Fastify's form: `/v1/tenants/:tenant` */
  readonly path: string;
  readonly scope: RouteScope;
  readonly name: string;
  readonly summary: string;
  readonly params: z.ZodObject;
  readonly query: z.ZodObject;
  readonly body: z.ZodType | null;
  /** A deploy: the body may be the code itself, and is as large as the tenant's codeBytes allows. */
  readonly takesCode: boolean;
  readonly answers: Answers;
  /** @throws BerthError NAME_INVALID */
  tenantOf(params: unknown): TenantId | null;
  /** Checks the input, runs the handler. @throws BerthError BAD_REQUEST, NAME_INVALID, and what the handler throws */
  run(call: RawCall): Promise<unknown>;
}

export interface RouteDefinition<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType, R> {
  readonly method: Method;
  readonly path: string;
  readonly scope: RouteScope;
  readonly name: string;
  readonly summary: string;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly takesCode?: boolean;
  readonly answers: Answers;
  handler(call: Call<z.output<P>, z.output<Q>, z.output<B>>): Promise<R>;
}

export function route<
  P extends z.ZodObject = typeof noInput,
  Q extends z.ZodObject = typeof noInput,
  B extends z.ZodType = z.ZodUndefined,
  R = unknown,
>(definition: RouteDefinition<P, Q, B, R>): Route {
  const { params, query, body, takesCode = false, handler, ...rest } = definition;
  const parsedParams = (raw: unknown) => parseParams(params ?? noInput, raw) as z.output<P>;
  return {
    ...rest,
    params: params ?? noInput,
    query: query ?? noInput,
    body: body ?? null,
    takesCode,
    tenantOf: (raw) => (parsedParams(raw) as { tenant?: TenantId }).tenant ?? null,
    run: async ({ params: rawParams, query: rawQuery, json, ...call }) =>
      handler({
        ...call,
        params: parsedParams(rawParams),
        query: parseInput(query ?? noInput, rawQuery, 'query') as z.output<Q>,
        body: (body === undefined || call.raw !== null
          ? undefined
          : parseInput(body, json, 'body')) as z.output<B>,
      }),
  };
}
