/** What happens to one request of the native API: let in, body read, handler run, answer checked and written. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { BerthError } from '../contracts/errors.ts';
import { expectedBytes } from '../control/deploy-turns.ts';
import { admit, type Caller } from './authentication.ts';
import { apiLimits } from './api-limits.ts';
import { type BodyLimit, bodyLimitOf, mediaTypeOf, noBody, type ParsedBody, readBody } from './body.ts';
import { ResponseSink, type StreamPlaces } from './event-sink.ts';
import { type RawCall, type Route, WithStatus } from './route.ts';
import type { ApiServices } from './services.ts';

export interface Lifecycle {
  readonly services: ApiServices;
  readonly places: StreamPlaces;
  /** Aborts when the API closes: live answers end. */
  readonly closing: AbortSignal;
}

const HOST = /^[A-Za-z0-9.-]{1,253}(?::\d{1,5})?$|^\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?$/;

/** Answers one request, or throws what the error handler makes a problem of. */
export async function serve(
  lifecycle: Lifecycle,
  route: Route,
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
): Promise<FastifyReply> {
  const { services } = lifecycle;
  const attempt = { route, headers: request.headers, params: request.params, query: request.query };
  const caller = await admit(services, attempt);
  const giveBack = route.takesCode ? await deployTurn(services, caller, request) : () => {};
  try {
    const body = await bodyOf(services, route, { request, caller });
    const call = {
      ...body,
      params: request.params,
      query: request.query,
      principal: caller.principal,
      services,
      origin: originOf(services, request),
      sink: null,
      recheck: async () => void (await admit(services, attempt)),
    };
    if (route.answers.kind === 'events') return await stream(lifecycle, route, { call, reply, caller });
    return send(reply, route, await route.run(call));
  } finally {
    giveBack();
  }
}

/** Before its body is read: it waits in its socket. */
function deployTurn(
  services: ApiServices,
  caller: Caller,
  { headers, signal }: FastifyRequest,
): Promise<() => void> {
  const most = limitOf(services, caller, headers, true).bytes;
  const owner = caller.tenant?.id ?? '';
  return services.deploys.take({ owner, bytes: expectedBytes(headers, most), signal });
}

function limitOf(
  { control }: ApiServices,
  { tenant }: Caller,
  headers: FastifyRequest['headers'],
  takesCode: boolean,
): BodyLimit {
  return bodyLimitOf(takesCode, mediaTypeOf(headers), tenant === null ? null : control.limitsOf(tenant));
}

async function bodyOf(
  services: ApiServices,
  { body, takesCode }: Route,
  { request, caller }: { readonly request: FastifyRequest; readonly caller: Caller },
): Promise<ParsedBody> {
  if (body === null) return noBody;
  const limit = limitOf(services, caller, request.headers, takesCode);
  return readBody(request.raw, request.headers, { limit, takesCode });
}

function send(reply: FastifyReply, { answers }: Route, result: unknown): FastifyReply {
  switch (answers.kind) {
    case 'json': {
      const { status, value } =
        result instanceof WithStatus ? result : { status: answers.status, value: result };
      return reply
        .code(status)
        .header('content-type', 'application/json; charset=utf-8')
        .send(JSON.stringify(answers.schema.parse(value)));
    }
    case 'text':
      return reply.header('content-type', answers.mediaType).send(asBuffer(result));
    default:
      return reply.code(204).send();
  }
}

function asBuffer(result: unknown): Buffer {
  if (typeof result === 'string') return Buffer.from(result);
  const bytes = result as Uint8Array;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

async function stream(
  { places, closing }: Lifecycle,
  route: Route,
  { call, reply, caller }: { readonly call: RawCall; readonly reply: FastifyReply; readonly caller: Caller },
): Promise<FastifyReply> {
  const limit = apiLimits.logStreamsPerTenant.value;
  const giveBack = places.take(caller.tenant?.id ?? '');
  if (giveBack === null) throw new BerthError('CONCURRENCY_LIMIT', { name: 'logStreamsPerTenant', limit });
  const sink = new ResponseSink(reply.raw, { writeMs: apiLimits.logStreamWriteMs.value, closing });
  let isOpen = false;
  const opening = {
    signal: sink.signal,
    async send(text: string) {
      // The head goes out with the first event, so that what is wrong before it is still answered with a status.
      if (!isOpen) {
        isOpen = true;
        reply.hijack();
        sink.open(reply.getHeaders() as Record<string, string>);
      }
      await sink.send(text);
    },
  };
  try {
    await route.run({ ...call, sink: opening });
  } catch (error) {
    if (!isOpen) throw error;
    if (!sink.signal.aborted) reply.raw.destroy();
  } finally {
    giveBack();
    if (isOpen) sink.end();
  }
  return reply;
}

/** What a caller sent as Host is only ever shown to that caller. */
function originOf({ publicUrl }: ApiServices, request: FastifyRequest): string {
  if (publicUrl !== null) return publicUrl.replace(/\/+$/, '');
  const host = request.headers.host ?? '';
  return HOST.test(host) ? `http://${host}` : '';
}
