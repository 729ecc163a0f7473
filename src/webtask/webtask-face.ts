/** The API that `wt-cli` and `sandboxjs` speak, put together. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { BerthError, toBerthError } from '../contracts/errors.ts';
import { hasAtMostValues } from '../kernel/json-values.ts';
import type { WebtaskDependencies } from './dependencies.ts';
import { EphemeralPrograms } from './ephemeral.ts';
import { managementError } from './error-shapes.ts';
import { Issuance } from './issuance.ts';
import { LogDesk } from './log-desk.ts';
import { registerManagement } from './management-routes.ts';
import { RunLines } from './run-lines.ts';
import { Runner } from './runner.ts';
import { TokenMaker } from './token-maker.ts';
import { webtaskLimits } from './webtask-limits.ts';
import { Webtasks } from './webtasks.ts';

export interface WebtaskFace {
  readonly prefix: '/api';
  /** Adds the routes to a fastify instance that has the prefix already. */
  register(app: FastifyInstance): Promise<void>;
  /**
   * `/api/run/…` without fastify. `sendContinue`: the caller waits for `100 Continue`.
   * @returns false when the request is not for it; then nothing was done
   */
  handleRun(request: IncomingMessage, response: ServerResponse, sendContinue?: boolean): boolean;
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean;
  /** Ends the streams of logs; call it before waiting for connections to end. */
  close(): void;
}

export function createWebtaskFace(dependencies: WebtaskDependencies): WebtaskFace {
  const { control, directory, verifier, issuer, clock, randomId, report, logs, deploys } = dependencies;
  const lines = new RunLines(clock);
  const webtasks = new Webtasks(control);
  const tokens = new TokenMaker(issuer, clock);
  const issuance = new Issuance({ control, webtasks, tokens, randomId });
  const desk = new LogDesk({ logs, lines, clock, verifier, report });
  const programs = new EphemeralPrograms({
    preparer: dependencies.preparer,
    retire: dependencies.retire,
    tenantOf: (id) => directory.tenant(id),
    limitsOf: (tenant) => control.limitsOf(tenant),
  });
  const runner = new Runner({ ...dependencies, programs, lines });
  const baseOf = (request: FastifyRequest): string => dependencies.publicUrl(request.raw);
  return {
    prefix: '/api',
    async register(app) {
      // Scopes of their own, so that neither parsers nor error shapes leak to what else is on this fastify.
      await app.register(async (scope) => {
        parseEverythingAsJson(scope);
        speakWebtaskErrors(scope, report);
        registerManagement(scope, { webtasks, issuance, verifier, logs: desk, deploys, baseOf });
        scope.addHook('preClose', async () => desk.close());
      });
      await app.register(async (scope) => registerRun(scope, runner));
    },
    handleRun: (request, response, sendContinue) => runner.handle(request, response, sendContinue),
    handleUpgrade: (request, socket, head) => runner.upgrade(request, socket, head),
    close: () => desk.close(),
  };
}

/** The body belongs to the function, or is a program whatever its content type says: nobody here reads it. */
function registerRun(scope: FastifyInstance, runner: Runner): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
  const run = (request: FastifyRequest, reply: FastifyReply): void => {
    reply.hijack();
    runner.handle(request.raw, reply.raw);
  };
  scope.all('/run/:container', run);
  scope.all('/run/:container/*', run);
}

/** Clients do not always say that they send JSON. */
function parseEverythingAsJson(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body: Buffer, done) => {
    if (body.length === 0) return done(null, undefined);
    if (!hasAtMostValues(body, webtaskLimits.webtaskJsonValues.value))
      return done(new BerthError('BODY_TOO_LARGE', { limit: 'webtaskJsonValues' }));
    try {
      return done(null, JSON.parse(body.toString('utf8')));
    } catch (error) {
      return done(new BerthError('BAD_REQUEST', { reason: 'the body is not JSON' }, { cause: error }));
    }
  });
}

function speakWebtaskErrors(scope: FastifyInstance, report: (error: BerthError) => void): void {
  scope.setErrorHandler((thrown, _request, reply) => {
    const error = fromFastify(thrown);
    if (error.definition.fault === 'platform') report(error);
    if (error.definition.retry) reply.header('retry-after', '1');
    return reply.code(error.definition.status).send(managementError(error));
  });
  scope.setNotFoundHandler((_request, reply) => {
    const error = new BerthError('ROUTE_NOT_FOUND');
    return reply.code(error.definition.status).send(managementError(error));
  });
}

/** Fastify's own errors carry the status that they mean. */
function fromFastify(thrown: unknown): BerthError {
  const { statusCode, message } = thrown as { statusCode?: unknown; message?: unknown };
  if (thrown instanceof BerthError || typeof statusCode !== 'number' || statusCode >= 500)
    return toBerthError(thrown);
  if (statusCode === 413)
    return new BerthError('BODY_TOO_LARGE', { limit: 'of the webtask API' }, { cause: thrown });
  return new BerthError('BAD_REQUEST', { reason: String(message) }, { cause: thrown });
}
