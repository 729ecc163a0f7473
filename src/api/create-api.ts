/** The native API on Fastify, as a listener for the gateway's HTTP server, with other faces mounted beside it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { BerthError } from '../contracts/errors.ts';
import { apiLimits } from './api-limits.ts';
import { StreamPlaces } from './event-sink.ts';
import { openapiOf } from './openapi.ts';
import { sendProblem } from './problems.ts';
import { type Lifecycle, serve } from './request-lifecycle.ts';
import type { Route } from './route.ts';
import { routes } from './route-table.ts';
import type { ApiServices, Mount } from './services.ts';

export interface Api {
  /** For `http.createServer`: answers every request, unknown paths too. */
  handler(request: IncomingMessage, response: ServerResponse): void;
  /** Ends live streams and refuses new requests; resolves when that is done. Repeatable. */
  close(): Promise<void>;
  readonly openapi: object;
}

/** Longer than any name that is valid, so that a long one is told so instead of not being found. */
const MAX_PARAM_CHARACTERS = 64 * 1024;

export async function createApi(
  services: ApiServices & { readonly mounts?: readonly Mount[] },
): Promise<Api> {
  const closing = new AbortController();
  const openapi = openapiOf(routes, services.version);
  const app = bareFastify(services);
  const lifecycle = { services, closing: closing.signal, places: streamPlaces() };
  await app.register(async (scope) => registerNative(scope, lifecycle, openapi));
  for (const mount of services.mounts ?? []) {
    await app.register((scope) => mount.register(scope), { prefix: mount.prefix });
  }
  await app.ready();
  return {
    handler: (request, response) => app.routing(request, response),
    async close() {
      closing.abort();
      await app.close();
    },
    openapi,
  };
}

function bareFastify(services: ApiServices): FastifyInstance {
  const app = fastify({
    logger: false,
    genReqId: services.newRequestId,
    return503OnClosing: false,
    handlerTimeout: apiLimits.apiHandlerMs.value,
    bodyLimit: apiLimits.apiBodyBytes.value,
    routerOptions: { maxParamLength: MAX_PARAM_CHARACTERS, ignoreTrailingSlash: true },
    frameworkErrors: (error, request, reply) => void fail(services, error, { request, reply }),
  });
  app.setNotFoundHandler((request, reply) => fail(services, notFound(request, reply), { request, reply }));
  return app;
}

function streamPlaces(): StreamPlaces {
  return new StreamPlaces(apiLimits.logStreamsPerTenant.value);
}

function registerNative(scope: FastifyInstance, lifecycle: Lifecycle, openapi: object): void {
  const { services } = lifecycle;
  // The body is read by the handler, after the caller is let in: nobody else's bytes are collected.
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', (_request, _payload, done) => done(null, undefined));
  scope.setErrorHandler((error, request, reply) => fail(services, error, { request, reply }));
  scope.addHook('onRequest', async (request, reply) => void setHeaders(request, reply));
  for (const route of routes) {
    scope.route({
      method: route.method,
      url: route.path,
      exposeHeadRoute: route.answers.kind !== 'events',
      handler: (request, reply) => serve(lifecycle, route, { request, reply }),
    });
  }
  const document = JSON.stringify(openapi);
  scope.get('/openapi.json', (_request, reply) =>
    reply.header('content-type', 'application/json; charset=utf-8').send(document),
  );
}

function setHeaders(request: FastifyRequest, reply: FastifyReply): void {
  reply.header('x-request-id', request.id);
  reply.header('x-content-type-options', 'nosniff');
  reply.header('cache-control', 'no-store');
}

function fail(
  { log }: ApiServices,
  error: unknown,
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
): FastifyReply {
  setHeaders(request, reply);
  // What is left of a body that was refused must not be taken for the next request, nor be read to its end.
  if (!request.raw.complete) reply.header('connection', 'close');
  const route = request.routeOptions.url ?? 'none';
  return sendProblem(reply, error, { log, requestId: request.id, method: request.method, route });
}

function notFound(request: FastifyRequest, reply: FastifyReply): BerthError {
  const path = request.url.split('?', 1)[0]!;
  const methods = allowedMethods(routes, path);
  if (methods.length === 0) return new BerthError('ROUTE_NOT_FOUND');
  reply.header('allow', methods.join(', '));
  return new BerthError('METHOD_NOT_ALLOWED', { method: request.method });
}

function allowedMethods(table: readonly Route[], path: string): readonly string[] {
  const steps = path.replace(/\/$/, '').split('/');
  const methods = table
    .filter((route) => {
      const pattern = route.path.replace(/\/$/, '').split('/');
      return (
        pattern.length === steps.length &&
        pattern.every((step, index) => (step.startsWith(':') ? steps[index] !== '' : step === steps[index]))
      );
    })
    .map((route) => route.method);
  return methods.includes('GET') ? [...methods, 'HEAD'] : methods;
}
