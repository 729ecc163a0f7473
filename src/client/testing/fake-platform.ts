/** A small platform for tests of client and CLI: real HTTP, everything in memory, answers shaped as those of `src/api`. */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BerthError, problemOf, toBerthError } from '../../contracts/errors.ts';

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly token: string | null;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  readonly body: Record<string, unknown>;
}

export type FakeAnswer = (
  request: SeenRequest,
  response: ServerResponse,
  match: readonly string[],
) => unknown;

/** Routes are tried from the newest to the oldest, so a test may put its own before the others. */
export class FakePlatform {
  readonly requests: SeenRequest[] = [];
  readonly #routes: { method: string; pattern: RegExp; answer: FakeAnswer }[] = [];
  readonly #server: Server;
  readonly token: string;

  private constructor(token: string) {
    this.token = token;
    this.#server = createServer((request, response) => void this.#handle(request, response));
  }

  static async start(token = 'operator-token'): Promise<FakePlatform> {
    const platform = new FakePlatform(token);
    platform.#server.listen(0, '127.0.0.1');
    await new Promise((resolve) => platform.#server.once('listening', resolve));
    return platform;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** @param path with `:name` for one segment, which the answer gets in order, decoded */
  on(method: string, path: string, answer: FakeAnswer): this {
    const pattern = new RegExp(`^${path.replaceAll(/:\w+/g, '([^/]+)')}$`);
    this.#routes.unshift({ method, pattern, answer });
    return this;
  }

  /** The only request to this path. */
  seen(method: string, path: string): SeenRequest {
    const found = this.requests.filter((request) => request.method === method && request.path === path);
    if (found.length !== 1) throw new Error(`${found.length} requests ${method} ${path}`);
    return found[0]!;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = await seenRequest(incoming);
    this.requests.push(request);
    try {
      if (request.path.startsWith('/v1') && request.token !== this.token)
        throw new BerthError(request.token === null ? 'TOKEN_MISSING' : 'TOKEN_INVALID', { reason: 'no' });
      const route = this.#routes.find(
        ({ method, pattern }) => method === request.method && pattern.test(request.path),
      );
      if (route === undefined) throw new BerthError('ROUTE_NOT_FOUND');
      const match = (route.pattern.exec(request.path) ?? []).slice(1).map(decodeURIComponent);
      const answer = await route.answer(request, response, match);
      if (response.headersSent) return;
      if (answer === undefined) response.writeHead(204).end();
      else send(response, 200, typeof answer === 'string' ? answer : JSON.stringify(answer));
    } catch (error) {
      const problem = problemOf(toBerthError(error));
      send(response, problem.status, JSON.stringify(problem));
    }
  }
}

async function seenRequest(incoming: IncomingMessage): Promise<SeenRequest> {
  const { pathname, searchParams } = new URL(incoming.url ?? '/', 'http://fake');
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  const isJson = (incoming.headers['content-type'] ?? '').includes('json');
  return {
    method: incoming.method ?? 'GET',
    path: pathname,
    query: Object.fromEntries(searchParams),
    token: incoming.headers.authorization?.replace(/^Bearer /, '') ?? null,
    headers: incoming.headers,
    text,
    body: (isJson && text !== '' ? JSON.parse(text) : {}) as Record<string, unknown>,
  };
}

function send(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(text);
}
