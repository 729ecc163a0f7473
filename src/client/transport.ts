/** One HTTP call to the platform: address, token, deadline, and every failure as a ClientError. */
import type { z } from 'zod';
import { ClientError } from './client-error.ts';
import { problemSchema } from './records.ts';

export interface TransportOptions {
  /** `http://127.0.0.1:8787`; a path in front of the API's own is kept */
  readonly url: string;
  readonly token: string | null;
  /** milliseconds until the answer has begun and, for JSON, ended */
  readonly timeoutMs?: number;
  readonly fetch?: typeof globalThis.fetch;
}

export interface Call {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Parts of the path, each encoded here. */
  readonly path: readonly string[];
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
  /** Statuses beyond 2xx that are answers all the same. */
  readonly alsoGood?: readonly number[];
}

const DEFAULT_TIMEOUT_MS = 60_000;
const MAX_PROBLEM_CHARACTERS = 64 * 1024;

export class Transport {
  readonly url: string;
  readonly #token: string | null;
  readonly #timeoutMs: number;
  readonly #fetch: typeof globalThis.fetch;

  /** @throws ClientError NOT_BERTH when the address is none */
  constructor({ url, token, timeoutMs = DEFAULT_TIMEOUT_MS, fetch = globalThis.fetch }: TransportOptions) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
      throw new ClientError({
        code: 'NOT_BERTH',
        message: `"${url}" is not an http or https address.`,
        wayOut: 'Give one such as http://127.0.0.1:8787 (--url, BERTH_URL).',
      });
    this.url = url.replace(/\/+$/, '');
    this.#token = token;
    this.#timeoutMs = timeoutMs;
    this.#fetch = fetch;
  }

  /** @throws ClientError */
  async json<T>(schema: z.ZodType<T>, call: Call): Promise<T> {
    const response = await this.open(call, true);
    const body = await this.#read(() => response.json() as Promise<unknown>, response, call.signal);
    const parsed = schema.safeParse(body);
    if (parsed.success) return parsed.data;
    throw notBerth(this.url, response.status, parsed.error);
  }

  /** @throws ClientError */
  async text(call: Call): Promise<string> {
    const response = await this.open(call, true);
    return this.#read(() => response.text(), response, call.signal);
  }

  /** For calls that answer nothing. @throws ClientError */
  async done(call: Call): Promise<void> {
    await this.text(call);
  }

  /** @param isBounded the deadline holds for the whole answer, not only until it begins. @throws ClientError */
  async open(call: Call, isBounded: boolean): Promise<Response> {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), this.#timeoutMs);
    const signal = isBounded ? AbortSignal.timeout(this.#timeoutMs) : deadline.signal;
    try {
      const response = await this.#fetch(this.#address(call), {
        method: call.method ?? 'GET',
        headers: this.#headers(call),
        redirect: 'manual',
        signal: call.signal === undefined ? signal : AbortSignal.any([signal, call.signal]),
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      });
      if (response.ok || call.alsoGood?.includes(response.status) === true) return response;
      throw await problemFrom(response, this.url);
    } catch (error) {
      if (error instanceof ClientError || call.signal?.aborted === true) throw error;
      throw unreachable(this.url, error);
    } finally {
      clearTimeout(timer);
    }
  }

  #address({ path, query = {} }: Call): string {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) search.set(name, String(value));
    const text = search.toString();
    return `${this.url}/${path.map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`;
  }

  #headers({ body }: Call): Record<string, string> {
    return {
      accept: 'application/json, */*;q=0.5',
      ...(this.#token === null ? {} : { authorization: `Bearer ${this.#token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    };
  }

  async #read<T>(read: () => Promise<T>, response: Response, signal: AbortSignal | undefined): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (signal?.aborted === true) throw error;
      if (error instanceof SyntaxError) throw notBerth(this.url, response.status, error);
      throw unreachable(this.url, error);
    }
  }
}

/** What the platform says is wrong; an answer that is none of its own becomes NOT_BERTH. */
export async function problemFrom(response: Response, url: string): Promise<ClientError> {
  const text = (await response.text().catch(() => '')).slice(0, MAX_PROBLEM_CHARACTERS);
  const problem = problemSchema.safeParse(parse(text));
  if (!problem.success) return notBerth(url, response.status, null);
  const { code, detail, wayOut, ...facts } = problem.data;
  return new ClientError({ code, message: detail, wayOut, status: response.status, facts });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // no JSON, so no problem of ours
  }
}

function notBerth(url: string, status: number, cause: unknown): ClientError {
  return new ClientError({
    code: 'NOT_BERTH',
    message: `${url} answered ${status}, but not as Berth does.`,
    wayOut: 'Check the address (--url, BERTH_URL), and whether a proxy stands between.',
    status,
    cause,
  });
}

export function unreachable(url: string, cause: unknown): ClientError {
  return new ClientError({
    code: 'UNREACHABLE',
    message: `${url} cannot be reached: ${reasonOf(cause)}.`,
    wayOut: 'Start the platform (npm start), or name its address (--url, BERTH_URL).',
    cause,
  });
}

function reasonOf(error: unknown): string {
  if ((error as Error | null)?.name === 'TimeoutError' || (error as Error | null)?.name === 'AbortError')
    return 'it did not answer in time';
  const { code } = ((error as Error | null)?.cause ?? {}) as { code?: string };
  const known: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'nothing listens there',
    ENOTFOUND: 'there is no such host',
    EAI_AGAIN: 'the name cannot be resolved now',
    ECONNRESET: 'the connection broke',
    UND_ERR_SOCKET: 'the connection broke',
  };
  return known[code ?? ''] ?? code ?? String((error as Error | null)?.message ?? error);
}
