/**
 * Docker's Engine API over its Unix socket (docs.docker.com/reference/api/engine), with node:http alone. Every call has a
 * deadline; answers are bounded. The engine is trusted: who speaks to its socket is root on its host.
 */
import http from 'node:http';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Newest version whose answers these calls have been tried with, oldest that has all of them (Debian 12's engine). */
const NEWEST = '1.51';
const OLDEST = '1.41';
const CALL_MS = 20_000;
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
const MAX_SOCKETS = 32;

/** The engine's own answer to a call that it refused; status 0: it could not be reached, or did not answer in time. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

export interface EngineCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Without the version. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  /** A tar archive. */
  readonly body?: Readable;
  /** From the call to the end of its answer, or to the opening of the stream. */
  readonly deadlineMs?: number;
  /** Its answer may take as long as a sandbox lives: it is not to keep others waiting for a connection. */
  readonly isLong?: boolean;
}

export class EngineClient {
  readonly #socketPath: string;
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: MAX_SOCKETS });
  #version: Promise<string> | null = null;

  /** @param host `unix:///path/of/docker.sock` */
  constructor(host: string) {
    this.#socketPath = host.replace(/^unix:\/\//, '');
  }

  /** The version that both sides speak, negotiated with each engine that comes up there. @throws EngineError when there is none, or no engine */
  version(): Promise<string> {
    this.#version ??= this.#negotiate().catch((error: unknown) => {
      this.#version = null;
      throw error;
    });
    return this.#version;
  }

  /** @returns the answer's JSON, null where it has none. @throws EngineError */
  async call(call: EngineCall): Promise<unknown> {
    const request = this.#request(`/v${await this.version()}${pathOf(call)}`, call);
    const answer = answerTo(request, call);
    if (call.body !== undefined) await Promise.all([pipeline(call.body, request), answer]);
    else request.end(call.json === undefined ? undefined : JSON.stringify(call.json));
    return parseBody(await answer);
  }

  /**
   * A call that turns its connection into a stream: `attach`, `exec`. The caller ends the stream.
   * @throws EngineError
   */
  async hijack(call: EngineCall): Promise<Socket> {
    const request = this.#request(`/v${await this.version()}${pathOf(call)}`, call, {
      connection: 'Upgrade',
      upgrade: 'tcp',
    });
    const stream = new Promise<Socket>((resolve, reject) => {
      request.once('upgrade', (_response, socket: Socket, head: Buffer) => {
        // What breaks it, breaks it while nobody reads it yet, too; its readers hear of its close.
        socket.on('error', () => socket.destroy());
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      });
      // It answers like this only to refuse.
      answerTo(request, call).then(
        () => reject(new EngineError(0, `the engine did not open the stream of ${call.path}`)),
        reject,
      );
    });
    request.end(call.json === undefined ? undefined : JSON.stringify(call.json));
    return await stream;
  }

  close(): void {
    this.#agent.destroy();
  }

  #request(path: string, call: EngineCall, headers: http.OutgoingHttpHeaders = {}): http.ClientRequest {
    const type = call.body === undefined ? 'application/json' : 'application/x-tar';
    const hasBody = call.body !== undefined || call.json !== undefined;
    const isOwn = call.isLong === true || headers['upgrade'] !== undefined;
    const request = http.request({
      socketPath: this.#socketPath,
      method: call.method,
      path,
      headers: { host: 'docker', ...(hasBody ? { 'content-type': type } : {}), ...headers },
      agent: isOwn ? false : this.#agent,
    });
    // What comes up in its place may be of another version, and speak neither ours nor any as old.
    request.once('error', (error) => {
      if (!(error instanceof EngineError)) this.#version = null;
    });
    // Not the socket's timeout: that one starts anew with each byte, and not before there is a socket.
    const timer = setTimeout(
      () =>
        request.destroy(new EngineError(0, `the engine did not answer ${call.method} ${call.path} in time`)),
      call.deadlineMs ?? CALL_MS,
    );
    for (const event of ['close', 'upgrade']) request.once(event, () => clearTimeout(timer));
    return request;
  }

  async #negotiate(): Promise<string> {
    const request = this.#request('/_ping', { method: 'GET', path: '/_ping' });
    request.end();
    const { headers } = await answerTo(request, { method: 'GET', path: '/_ping' });
    const offered = String(headers['api-version'] ?? '');
    if (!/^\d+\.\d+$/.test(offered)) throw new EngineError(0, 'this is not a Docker Engine');
    if (compareVersions(offered, OLDEST) < 0)
      throw new EngineError(0, `the engine speaks API ${offered}; ${OLDEST} (Docker 20.10) is needed`);
    return compareVersions(offered, NEWEST) < 0 ? offered : NEWEST;
  }
}

/** There was nobody to connect to: the call has had no effect. */
export function isUnreached(error: unknown): boolean {
  if (!(error instanceof EngineError)) return false;
  const code = (error.cause as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOENT' || code === 'ECONNREFUSED';
}

export function isNotFound(error: unknown): boolean {
  return error instanceof EngineError && error.status === 404;
}

/** 304: it is in that state already; 409: the state does not allow it, e.g. to kill what has ended. */
export function isStateConflict(error: unknown): boolean {
  return error instanceof EngineError && (error.status === 304 || error.status === 409);
}

/** `1.9` comes before `1.41`. */
export function compareVersions(left: string, right: string): number {
  const [a, b] = [left, right].map((text) => text.split('.').map(Number));
  return a![0]! - b![0]! || a![1]! - b![1]!;
}

function pathOf({ path, query = {} }: EngineCall): string {
  const search = new URLSearchParams(query).toString();
  return search === '' ? path : `${path}?${search}`;
}

interface Answer {
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** Collects the answer, up to the limit. @throws EngineError for a status that is no success */
function answerTo(request: http.ClientRequest, { method, path }: EngineCall): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void =>
      reject(
        error instanceof EngineError
          ? error
          : new EngineError(0, `the engine did not answer ${method} ${path}: ${String(error)}`, {
              cause: error,
            }),
      );
    request.once('error', fail);
    request.once('response', (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
        if (body.length > MAX_ANSWER_BYTES)
          request.destroy(new EngineError(0, `the answer to ${path} is too long`));
      });
      response.once('error', fail);
      response.once('close', () => {
        if (!response.complete) return fail(new Error('the connection ended'));
        const status = response.statusCode ?? 0;
        if (status >= 200 && status < 300) return resolve({ headers: response.headers, body });
        reject(new EngineError(status, `${method} ${path}: ${status} ${messageOf(body)}`));
      });
    });
  });
}

function messageOf(body: string): string {
  const value = parseJson(body);
  const message = typeof value === 'object' && value !== null ? (value as { message?: unknown }).message : '';
  return (typeof message === 'string' ? message : body).slice(0, 1_000);
}

function parseBody({ body }: Answer): unknown {
  return body === '' ? null : parseJson(body);
}

/** Some answers are lines of JSON (progress of a load) or plain text: then the text itself. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
