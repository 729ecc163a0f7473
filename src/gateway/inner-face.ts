/**
 * The face for tenants' own code: a function calls another of its tenant at `http://{function}.berth.internal/`. The egress
 * broker hands over connections that never leave the process; whose they are, and which function they lead to, is known from
 * the connection and not from the request. Private functions answer as well: the caller is their own tenant.
 */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { BerthError } from '../contracts/errors.ts';
import type { FunctionName, TenantId } from '../contracts/ids.ts';
import { drainBody, refusedBounds } from '../invoke/body-drain.ts';
import { headersForPublic } from '../invoke/caller-token.ts';
import type { Directory, ExchangeOptions, Invoker, Route } from '../invoke/invoker.ts';
import { rawProblem, writeProblem } from '../invoke/problem.ts';
import type { Clock } from '../kernel/clock.ts';
import { onClientError } from './client-errors.ts';
import { edgeProblem } from './edge-rules.ts';
import { memoryConnection } from './memory-connection.ts';
import { pathProblem } from './target.ts';

export interface InnerCall {
  readonly tenant: TenantId;
  readonly fn: FunctionName;
  /** How often the request that causes this one has passed through the gateway, this time included. */
  readonly hops: number;
}

export interface InnerFaceOptions {
  readonly directory: Directory;
  readonly invoker: Invoker;
  readonly clock: Clock;
}

export interface InnerFace {
  /** @returns the caller's end of a connection that takes one request; null: there is no such function */
  connect(call: InnerCall): Duplex | null;
}

const MAX_HEADER_BYTES = 64 * 1024;
/** As the gateway has it. Node's own limit works for servers that listen only. */
const HEAD_MS = 20_000;
const lateHead = Object.assign(new Error('the head did not come'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });

export function createInnerFace(options: InnerFaceOptions): InnerFace {
  const calls = new WeakMap<Duplex, InnerCall>();
  const server = http.createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: 0,
    // As the gateway has it: anything but WebSocket is answered as an ordinary request.
    shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
  });
  // Each request has a connection of its own, so that it is counted for the invocation which opened that.
  server.maxRequestsPerSocket = 1;
  server.maxHeadersCount = 0;
  const headTimes = new HeadTimes(options.clock);
  const serve = (request: IncomingMessage, response: ServerResponse, sendContinue: boolean): void => {
    headTimes.came(request.socket);
    // Node says `close` for the last request of a connection, and leaves closing to the client.
    response.shouldKeepAlive = false;
    const target = targetOf(options.directory, request, calls.get(request.socket));
    if (target instanceof BerthError) {
      drainBody(request, options.clock, refusedBounds);
      writeProblem(response, target, '');
    } else {
      options.invoker.exchange(target.route.runnable, request, response, { ...target.options, sendContinue });
    }
  };
  server.on('request', (request, response) => serve(request, response, false));
  server.on('checkContinue', (request, response) => serve(request, response, true));
  server.on('upgrade', (request, socket, head) => {
    headTimes.came(socket);
    socket.on('error', () => socket.destroy());
    const target = targetOf(options.directory, request, calls.get(socket));
    if (target instanceof BerthError) socket.end(rawProblem(target), () => socket.destroy());
    else options.invoker.upgrade(target.route.runnable, request, socket, head, target.options);
  });
  server.on('clientError', onClientError);
  return {
    connect(call) {
      if (options.directory.find(call.tenant, call.fn) === null) return null;
      const [callers, ours] = memoryConnection();
      calls.set(ours, call);
      headTimes.watch(ours);
      server.emit('connection', ours);
      return callers;
    },
  };
}

/** A head that has begun must come. One that has not is a matter of egressIdleMs: pools open connections ahead of time. */
class HeadTimes {
  readonly #clock: Clock;
  readonly #waiting = new WeakMap<Duplex, () => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Call it before anybody else listens. */
  watch(socket: Duplex): void {
    socket.once('data', () => {
      const cancel = this.#clock.after(HEAD_MS, () => onClientError(lateHead, socket));
      this.#waiting.set(socket, cancel);
      socket.once('close', cancel);
    });
  }

  came(socket: Duplex): void {
    this.#waiting.get(socket)?.();
  }
}

interface InnerTarget {
  readonly route: Route;
  readonly options: ExchangeOptions;
}

function targetOf(
  directory: Directory,
  request: IncomingMessage,
  call: InnerCall | undefined,
): InnerTarget | BerthError {
  if (call === undefined) return new BerthError('INTERNAL');
  const url = request.url ?? '';
  const problem = edgeProblem(request) ?? pathProblem(url);
  if (problem !== null) return problem;
  const { tenant, fn, hops } = call;
  const route = directory.find(tenant, fn);
  if (route === null) return new BerthError('NOT_FOUND', { what: `function "${fn}"` });
  if (route.tenant.state !== 'active') return new BerthError('TENANT_SUSPENDED');
  const headers = headersForPublic(request);
  return { route, options: { url, basePath: '', hops, ...(headers === undefined ? {} : { headers }) } };
}
