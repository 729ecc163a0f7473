/** The HTTP data path: what comes in goes to a function, to the control plane, or is refused. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Authorise } from '../auth/principal.ts';
import { BerthError, toBerthError } from '../contracts/errors.ts';
import { drainBody, refusedBounds } from '../invoke/body-drain.ts';
import type { Directory, Invoker } from '../invoke/invoker.ts';
import { rawProblem, writeProblem } from '../invoke/problem.ts';
import { declaredBodyBytes } from '../invoke/request-head.ts';
import type { Clock } from '../kernel/clock.ts';
import { AccessCheck, type GatewayVerifier } from './access-check.ts';
import { onClientError } from './client-errors.ts';
import { edgeProblem } from './edge-rules.ts';
import { lastResponses } from './last-response.ts';
import { FunctionTarget, TargetResolver } from './target.ts';

export interface GatewayConfig {
  /** `{tenant}.{domain}/{function}`; null: only `/run/{tenant}/{function}` */
  readonly domain: string | null;
  /** time for a request's head to come; 20 s */
  readonly headersMs?: number;
  /** time that a connection may wait for its next request; 65 s, longer than usual proxies wait */
  readonly keepAliveMs?: number;
  /** time after which a connection without a single byte either way goes; over the ceiling of wallMs */
  readonly silentMs?: number;
  /** time for the body of a request to the control plane; 60 s */
  readonly controlBodyMs?: number;
  /** connections at the same time; 20,000 */
  readonly maxConnections?: number;
}

export interface GatewayOptions {
  readonly directory: Directory;
  readonly invoker: Invoker;
  readonly verifier: GatewayVerifier;
  readonly authorise: Authorise;
  readonly clock: Clock;
  readonly config: GatewayConfig;
  /** Other addresses of functions (webtask's runs). @returns false when it is none; then nothing was done */
  readonly otherRuns?: (request: IncomingMessage, response: ServerResponse, sendContinue: boolean) => boolean;
  /** Everything that is not a function's address: API, health, metrics, webtask. */
  readonly control: (request: IncomingMessage, response: ServerResponse) => void;
  /** The same for an upgrade to WebSocket. @returns false when nothing there takes it; then nothing was done */
  readonly controlUpgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean;
  /** The response to any request has left, with this status. */
  readonly onResponse?: (status: number) => void;
  /** A failure that is the platform's own. */
  readonly report: (error: BerthError) => void;
}

/** Ceiling of requestHeaderBytes with room for the request line; each tenant's own limit is kept by the invoker. */
const MAX_HEADER_BYTES = 64 * 1024;
const MAX_REQUESTS_PER_CONNECTION = 100_000;
/** Node looks for late heads this often. */
const LOOK_MS = 1_000;

/** Not listening yet. Closing it is the caller's task. */
export function createGateway(options: GatewayOptions): http.Server {
  const { config } = options;
  const server: http.Server = http.createServer({
    ServerResponse: lastResponses(() => !server.listening),
    insecureHTTPParser: false,
    requireHostHeader: true,
    joinDuplicateHeaders: false,
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: config.headersMs ?? 20_000,
    // Bodies have clocks of their own (wallMs, controlBodyMs): a long upload that moves is in order.
    requestTimeout: 0,
    keepAliveTimeout: config.keepAliveMs ?? 65_000,
    connectionsCheckingInterval: LOOK_MS,
    noDelay: true,
    // Anything but WebSocket is answered as an ordinary request (RFC 9110, 7.8), such as `Upgrade: h2c`.
    shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
  });
  // Node would drop headers over this count in silence; their number is bounded by their size and by edgeProblem.
  server.maxHeadersCount = 0;
  server.maxRequestsPerSocket = MAX_REQUESTS_PER_CONNECTION;
  server.maxConnections = config.maxConnections ?? 20_000;
  server.timeout = config.silentMs ?? 960_000;
  const gateway = new Gateway(options);
  // One function for all responses, and one listener for requests: Node copies lists of listeners at each request.
  const onFinish = function (this: ServerResponse): void {
    options.onResponse?.(this.statusCode);
  };
  server.on('request', (request, response) => {
    response.on('finish', onFinish);
    gateway.serve(request, response, false);
  });
  server.on('checkContinue', (request, response) => {
    response.on('finish', onFinish);
    gateway.serve(request, response, true);
  });
  server.on('upgrade', (request, socket, head) => gateway.upgrade(request, socket, head));
  server.on('clientError', onClientError);
  return server;
}

class Gateway {
  readonly #options: GatewayOptions;
  readonly #resolver: TargetResolver;
  readonly #access: AccessCheck;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#resolver = new TargetResolver({ directory: options.directory, domain: options.config.domain });
    this.#access = new AccessCheck(options);
  }

  serve(request: IncomingMessage, response: ServerResponse, sendContinue: boolean): void {
    const target = this.#resolve(request);
    if (target === 'control') {
      if (this.#options.otherRuns?.(request, response, sendContinue) === true) return;
      return this.#control(request, response, sendContinue);
    }
    if (target instanceof BerthError) return this.#refuse(request, response, target);
    target.sendContinue = sendContinue;
    const verdict = this.#access.decideNow(target.route, request);
    if (verdict === null) void this.#serveLater(target, request, response);
    else if (verdict instanceof BerthError) this.#refuse(request, response, verdict);
    else {
      if (verdict !== true) target.headers = verdict;
      this.#options.invoker.exchange(target.route.runnable, request, response, target);
    }
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Node has taken its own listener off; resets would be thrown.
    socket.on('error', () => socket.destroy());
    const target = this.#resolve(request);
    if (target === 'control') {
      if (this.#options.controlUpgrade?.(request, socket, head) !== true)
        refuseSocket(socket, new BerthError('ROUTE_NOT_FOUND'));
      return;
    }
    if (target instanceof BerthError) return refuseSocket(socket, target);
    const verdict = this.#access.decideNow(target.route, request);
    if (verdict === null) void this.#upgradeLater(target, request, { socket, head });
    else if (verdict instanceof BerthError) refuseSocket(socket, verdict);
    else {
      if (verdict !== true) target.headers = verdict;
      this.#options.invoker.upgrade(target.route.runnable, request, socket, head, target);
    }
  }

  #resolve(request: IncomingMessage): FunctionTarget | 'control' | BerthError {
    const problem = edgeProblem(request);
    if (problem !== null) return problem;
    return this.#resolver.resolve(request.url ?? '', request.headers.host);
  }

  async #serveLater(
    target: FunctionTarget,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const admitted = await this.#admitLater(target, request);
    if (admitted instanceof BerthError) return this.#refuse(request, response, admitted);
    admitted.sendContinue = target.sendContinue;
    this.#options.invoker.exchange(admitted.route.runnable, request, response, admitted);
  }

  async #upgradeLater(
    target: FunctionTarget,
    request: IncomingMessage,
    { socket, head }: { readonly socket: Duplex; readonly head: Buffer },
  ): Promise<void> {
    const admitted = await this.#admitLater(target, request);
    if (admitted instanceof BerthError) return refuseSocket(socket, this.#reported(admitted));
    this.#options.invoker.upgrade(admitted.route.runnable, request, socket, head, admitted);
  }

  /** The route may be another one when the token has been verified: the newest is what runs. */
  async #admitLater(target: FunctionTarget, request: IncomingMessage): Promise<FunctionTarget | BerthError> {
    const verdict = await this.#access.decide(target.route, request);
    if (verdict instanceof BerthError) return verdict;
    const present = this.#resolve(request);
    if (!(present instanceof FunctionTarget))
      return present === 'control' ? new BerthError('ROUTE_NOT_FOUND') : present;
    if (present.route.tenant.state !== 'active') return new BerthError('TENANT_SUSPENDED');
    if (verdict !== true) present.headers = verdict;
    return present;
  }

  #control(request: IncomingMessage, response: ServerResponse, sendContinue: boolean): void {
    if (sendContinue) response.writeContinue();
    if (declaredBodyBytes(request) !== 0) this.#limitBodyTime(request);
    try {
      this.#options.control(request, response);
    } catch (error) {
      this.#refuse(request, response, toBerthError(error));
    }
  }

  #limitBodyTime(request: IncomingMessage): void {
    const { clock, config } = this.#options;
    const cancel = clock.after(config.controlBodyMs ?? 60_000, () => {
      if (!request.complete) request.socket.destroy();
    });
    request.once('close', cancel);
  }

  #refuse(request: IncomingMessage, response: ServerResponse, error: BerthError): void {
    if (response.destroyed) return;
    drainBody(request, this.#options.clock, refusedBounds);
    writeProblem(response, this.#reported(error), '');
  }

  #reported(error: BerthError): BerthError {
    if (error.code === 'INTERNAL') this.#options.report(error);
    return error;
  }
}

function refuseSocket(socket: Duplex, error: BerthError): void {
  socket.end(rawProblem(error), () => socket.destroy());
}
