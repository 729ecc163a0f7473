/** Runs webtasks: `/api/run/{container}/{name}/…`, by token, and programs sent as a body (webtask contract, 19-21). */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { BerthError, toBerthError } from '../contracts/errors.ts';
import type { TenantId } from '../contracts/ids.ts';
import type { Control } from '../control/control.ts';
import { type DeployTurns, expectedBytes } from '../control/deploy-turns.ts';
import type { Directory, ExchangeOptions, Invoker, Route } from '../invoke/invoker.ts';
import { headersForPublic, headersOfCaller, saysThatItManages } from '../invoke/caller-token.ts';
import { drainBody, refusedBounds } from '../invoke/body-drain.ts';
import { rawProblem } from '../invoke/problem.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Runnable } from '../sandboxes/sandboxes.ts';
import type { Principal, TokenVerifier } from '../auth/principal.ts';
import { authenticate, forbidden, mustManage, mustRun, namesOf, tokenOf } from './access.ts';
import { readProgram, requestWithoutBody } from './body-program.ts';
import type { EphemeralPrograms } from './ephemeral.ts';
import { writeEarlyError, writeRunError } from './error-shapes.ts';
import { parseCodeReference, parseContainer, parseName } from './names.ts';
import type { RunLines } from './run-lines.ts';
import { takeTurn } from './turns.ts';
import { parseRunTarget, queryValue, type RunTarget, withoutKey } from './run-target.ts';

const BODILESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE']);

export interface RunnerParts {
  readonly control: Control;
  readonly directory: Directory;
  readonly invoker: Invoker;
  readonly verifier: TokenVerifier;
  readonly programs: EphemeralPrograms;
  readonly lines: RunLines;
  readonly deploys: Pick<DeployTurns, 'take'>;
  readonly clock: Clock;
  readonly report: (error: BerthError) => void;
}

interface Admitted {
  readonly route: Route;
  readonly options: ExchangeOptions;
}

interface RunCall {
  readonly target: RunTarget;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly sendContinue: boolean;
}

export class Runner {
  readonly #parts: RunnerParts;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
  }

  /** Takes the request when its address is one of the run API. @returns false when it is not; then nothing was done */
  handle(request: IncomingMessage, response: ServerResponse, sendContinue = false): boolean {
    const target = parseRunTarget(request.url ?? '');
    if (target === null) return false;
    const call = { target, request, response, sendContinue };
    this.#parts.lines.watch(target.container, response);
    const open = this.#openRoute(target, request);
    if (open !== null) this.#exchange(open, call);
    else void this.#handleGuarded(call).catch((error: unknown) => this.#fail(call, error));
    return true;
  }

  /** The same for an HTTP upgrade. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    const target = parseRunTarget(request.url ?? '');
    if (target === null) return false;
    const { invoker } = this.#parts;
    const run = ({ route, options }: Admitted): void =>
      invoker.upgrade(route.runnable, request, socket, head, options);
    const open = this.#openRoute(target, request);
    if (open !== null) run(open);
    else
      void this.#admit(target, request)
        .then(run)
        .catch((error: unknown) => this.#refuse(socket, error));
    return true;
  }

  /** The way that needs no token and no waiting; null: go the other one. */
  #openRoute(target: RunTarget, request: IncomingMessage): Admitted | null {
    if (target.name === null) return null;
    const route = this.#parts.directory.find(target.container, target.name);
    if (route === null || route.access !== 'public' || route.tenant.state !== 'active') return null;
    return { route, options: optionsForPublic(target, request) };
  }

  async #handleGuarded(call: RunCall): Promise<void> {
    const { target, request } = call;
    if (target.name !== null) return this.#exchange(await this.#admit(target, request), call);
    const token = tokenFor(target, request);
    const principal = await authenticate(this.#parts.verifier, token, this.#tenantOf(target));
    if (parseCodeReference(principal.claims['url']) === null) return this.#runBody(principal, call);
    this.#exchange(this.#byToken(principal, target, request), call);
  }

  #exchange({ route, options }: Admitted, { request, response, sendContinue }: RunCall): void {
    const whole = sendContinue ? { ...options, sendContinue } : options;
    this.#parts.invoker.exchange(route.runnable, request, response, whole);
  }

  /** @throws BerthError what there is to say to the caller */
  async #admit(target: RunTarget, request: IncomingMessage): Promise<Admitted> {
    const { directory, verifier } = this.#parts;
    const tenant = this.#tenantOf(target);
    if (target.name === null)
      return this.#byToken(await authenticate(verifier, tokenFor(target, request), tenant), target, request);
    const route = directory.find(tenant, target.name);
    if (route === null) throw notFound(tenant, parseName(target.name));
    if (route.access === 'public') return { route, options: optionsForPublic(target, request) };
    const principal = await authenticate(verifier, tokenFor(target, request), tenant);
    mustRun(principal, tenant, target.name);
    return { route, options: optionsOf(withoutKey(request.url!), headersOfCaller(request, principal)) };
  }

  /** The code that the token itself names by its `url`. */
  #byToken(principal: Principal, target: RunTarget, request: IncomingMessage): Admitted {
    const reference = parseCodeReference(principal.claims['url']);
    if (reference === null) throw withoutCode(target);
    const isOwn = reference.tenant === target.container;
    if (isOwn) mustRun(principal, reference.tenant, reference.name);
    const route = isOwn ? this.#parts.directory.find(reference.tenant, reference.name) : null;
    if (route === null) throw notFound(target.container, 'of this token');
    return { route, options: optionsOf(withoutKey(request.url!), headersOfCaller(request, principal)) };
  }

  /** The body is the program; it runs as a GET without a body. */
  async #runBody(principal: Principal, call: RunCall): Promise<void> {
    const { target, request, response } = call;
    const tenant = this.#tenantOf(target);
    mustManage(principal, tenant);
    if (namesOf(principal) !== null) throw forbidden('it is for other webtasks');
    if (queryValue(target.query, 'webtask_url') !== null) throw urlRefused();
    if (BODILESS.has(request.method ?? '')) throw withoutCode(target);
    const { codeBytes } = this.#parts.control.limitsOf(this.#parts.directory.tenant(tenant)!);
    const turn = { owner: tenant, bytes: expectedBytes(request.headers, codeBytes) };
    const endTurn = await takeTurn(this.#parts.deploys, turn, response);
    const runnable = await this.#receive(call).finally(endTurn);
    const url = withoutKey(request.url!);
    this.#parts.invoker.exchange(runnable, requestWithoutBody(request, url), response, optionsOf(url));
  }

  /** Reads and prepares the program. What may have changed while its caller sent it is looked at again. */
  async #receive({ target, request, response, sendContinue }: RunCall): Promise<Runnable> {
    const { control, directory, programs, verifier, clock } = this.#parts;
    const tenant = directory.tenant(this.#tenantOf(target))!;
    if (sendContinue) response.writeContinue();
    const source = await readProgram(request, control.limitsOf(tenant).codeBytes, clock);
    mustManage(await authenticate(verifier, tokenFor(target, request), this.#tenantOf(target)), tenant.id);
    return programs.take(tenant.id, source);
  }

  #tenantOf(target: RunTarget): TenantId {
    const tenant = this.#parts.directory.tenant(parseContainer(target.container));
    if (tenant === null) throw new BerthError('NOT_FOUND', { what: `container ${target.container}` });
    if (tenant.state !== 'active') throw new BerthError('TENANT_SUSPENDED');
    return tenant.id;
  }

  #fail({ request, response }: RunCall, thrown: unknown): void {
    const error = this.#told(thrown);
    if (response.destroyed) return;
    drainBody(request, this.#parts.clock, refusedBounds);
    writeEarlyError(response, error);
  }

  #refuse(socket: Duplex, thrown: unknown): void {
    // Node has taken its own listener off; and a caller that does not end its side would hold the connection.
    socket.on('error', () => socket.destroy());
    socket.end(rawProblem(this.#told(thrown)), () => socket.destroy());
  }

  #told(thrown: unknown): BerthError {
    const error = toBerthError(thrown);
    if (error.definition.fault === 'platform') this.#parts.report(error);
    return error;
  }
}

function optionsOf(url: string, headers?: readonly string[]): ExchangeOptions {
  return { url, basePath: '', writeError: writeRunError, ...(headers === undefined ? {} : { headers }) };
}

/** `key` may be a word of the function's own here, so it stays, unless it is a token that may do more than the code. */
function optionsForPublic({ query }: RunTarget, request: IncomingMessage): ExchangeOptions {
  const key = queryValue(query, 'key');
  const url = key !== null && saysThatItManages(key) ? withoutKey(request.url!) : request.url!;
  return optionsOf(url, headersForPublic(request));
}

function tokenFor(target: RunTarget, request: IncomingMessage): string | null {
  return tokenOf(request, queryValue(target.query, 'key'));
}

function notFound(container: string, name: string): BerthError {
  return new BerthError('NOT_FOUND', { what: `webtask ${container}/${name}` });
}

function withoutCode(target: RunTarget): BerthError {
  const reason = `say what to run: /api/run/${target.container}/{name}, a token of a webtask as key, or POST code`;
  return new BerthError('BAD_REQUEST', { reason });
}

function urlRefused(): BerthError {
  const reason = 'webtask_url: code cannot be fetched from a URL yet; send the code as the body';
  return new BerthError('BAD_REQUEST', { reason });
}
