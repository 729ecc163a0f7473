/** `ctx` of the forms `(cb)`, `(ctx, cb)`, `(ctx, req, res)` and `async (ctx)`; webtask contract, 3.2 and 3.3. */
import querystring from 'node:querystring';
import type { LoadSpec } from '../../contracts/frames.ts';
import type { Exchange } from '../exchange.ts';
import { headersObject } from './header-names.ts';

type Callback = (error: Error | null, value?: unknown) => void;
type Strings = Record<string, string>;

/** Query parameters of the platform itself; functions do not see them. */
const RESERVED = 'webtask_';

export class WebtaskContext {
  readonly #exchange: Exchange;
  readonly id: string;
  data: Record<string, unknown>;
  readonly query: Record<string, string | string[]>;
  readonly headers: Strings;
  readonly params: Strings;
  readonly secrets: Strings;
  readonly meta: Strings;
  readonly storage: WebtaskStorage;
  readonly token: string | undefined;
  readonly create_token_url: string;
  body?: unknown;
  body_raw?: string;

  constructor(exchange: Exchange, spec: LoadSpec, query: Record<string, string | string[]>) {
    const { head } = exchange;
    this.#exchange = exchange;
    this.id = head.invocation;
    this.headers = headersObject(head.headers);
    this.params = { ...spec.webtask?.params };
    this.query = query;
    this.secrets = { ...spec.secrets };
    this.meta = { ...spec.meta };
    this.data = { ...query, ...this.params, ...this.secrets };
    this.storage = storage;
    this.token = spec.webtask?.token ?? undefined;
    this.create_token_url = `${head.scheme}://${this.headers.host ?? 'localhost'}/api/tokens/issue`;
  }

  /** Fires when the caller is gone or time is up. */
  get signal(): AbortSignal {
    return this.#exchange.signal;
  }

  /** Keeps the sandbox busy until `work` has settled, after the response. */
  waitUntil(work: unknown): void {
    this.#exchange.waitUntil(work);
  }

  create_token(_options: unknown, callback?: Callback): void {
    refuse('ctx.create_token is not available on this platform.', callback);
  }
}

export interface WebtaskStorage {
  get(callback?: Callback): void;
  set(data: unknown, options?: unknown, callback?: Callback): void;
}

const NO_STORAGE = 'Storage is not available on this platform.';

export const storage: WebtaskStorage = {
  get: (callback) => refuse(NO_STORAGE, callback),
  set: (_data, options, callback) => refuse(NO_STORAGE, typeof options === 'function' ? options : callback),
};

function refuse(text: string, callback: unknown): void {
  const error = new Error(text);
  if (typeof callback !== 'function') throw error;
  process.nextTick(callback as Callback, error);
}

/** What `module.webtask` is while the code loads. */
export function moduleWebtask(spec: LoadSpec): object {
  return {
    storage,
    meta: { ...spec.meta },
    params: { ...spec.webtask?.params },
    secrets: { ...spec.secrets },
  };
}

export interface WebtaskQuery {
  /** Without the reserved names. */
  readonly own: Record<string, string | string[]>;
  readonly parseBody: 0 | 1 | 2;
  readonly mergeBody: boolean;
}

/** The query, and how the body is treated: as the token says, or `webtask_pb` and `webtask_mb` of the query. */
export function readQuery(url: string, spec: LoadSpec): WebtaskQuery {
  const parseBody = spec.webtask?.parseBody ?? 2;
  const mergeBody = spec.webtask?.mergeBody ?? false;
  const mark = url.indexOf('?');
  if (mark === -1) return { own: {}, parseBody, mergeBody };
  const all = querystring.parse(url.slice(mark + 1));
  const own: Record<string, string | string[]> = {};
  for (const name of Object.keys(all)) {
    if (!name.startsWith(RESERVED) && name !== '__proto__') own[name] = all[name]!;
  }
  return {
    own,
    parseBody: all.webtask_pb === '1' ? 1 : parseBody,
    mergeBody: mergeBody || all.webtask_mb === '1',
  };
}

/** Sets `body_raw`, and `body` for JSON and forms; a body that is not what it says it is leaves `body` undefined. */
export function setBody(ctx: WebtaskContext, raw: Buffer, mergeBody: boolean): void {
  if (raw.length === 0) return;
  ctx.body_raw = raw.toString('utf8');
  const type = (ctx.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
  if (type === 'application/json' || type.endsWith('+json')) ctx.body = parseJson(ctx.body_raw);
  else if (type === 'application/x-www-form-urlencoded') ctx.body = { ...querystring.parse(ctx.body_raw) };
  if (mergeBody) mergeInto(ctx.data, ctx.body);
}

/** The body comes last and only where there is nothing yet, so it cannot take the place of a secret. */
function mergeInto(data: Record<string, unknown>, body: unknown): void {
  if (typeof body !== 'object' || body === null) return;
  for (const [name, value] of Object.entries(body)) {
    const isTaken = Object.hasOwn(data, name) && Boolean(data[name]);
    if (!isTaken && name !== '__proto__') data[name] = value;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
