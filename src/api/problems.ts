/** Everything that goes wrong, as callers see it: RFC 9457, a stable code, and nothing of the host. */
import type { FastifyReply } from 'fastify';
import { BerthError, problemOf } from '../contracts/errors.ts';
import type { ApiLog } from './services.ts';

/** Fastify's own errors that have a code of ours (fastify docs, Reference/Errors). */
const FRAMEWORK_REASONS: Readonly<Record<string, string>> = {
  FST_ERR_BAD_URL: 'the address holds an escape that is not UTF-8',
  FST_ERR_MAX_PARAM_LENGTH: 'a part of the address is too long',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'the content type is not one',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'the body has another length than content-length says',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'the body is empty',
};

/** Whatever was thrown, as an error of the registry. */
function apiError(thrown: unknown): BerthError {
  if (thrown instanceof BerthError) return thrown;
  const code = (thrown as { code?: unknown } | null)?.code;
  const reason = typeof code === 'string' ? FRAMEWORK_REASONS[code] : undefined;
  if (reason !== undefined) return new BerthError('BAD_REQUEST', { reason }, { cause: thrown });
  return new BerthError('INTERNAL', {}, { cause: thrown });
}

export interface ProblemContext {
  readonly log: ApiLog;
  readonly requestId: string;
  readonly method: string;
  /** The route's pattern, not the path: a path may hold hostile text. */
  readonly route: string;
}

/** Answers with a problem. Only what is the platform's fault is logged, with its cause; the caller gets the request id. */
export function sendProblem(reply: FastifyReply, thrown: unknown, context: ProblemContext): FastifyReply {
  const error = apiError(thrown);
  const { definition } = error;
  if (error.code === 'INTERNAL' || (error.cause !== undefined && definition.status >= 500)) {
    const { requestId, method, route } = context;
    context.log.error(
      { requestId, method, route, code: error.code, err: error.cause },
      'an API request failed',
    );
  }
  if (definition.status === 401) reply.header('www-authenticate', 'Bearer');
  if (definition.retry) reply.header('retry-after', '1');
  const problem = problemOf(error);
  return reply
    .code(definition.status)
    .header('content-type', 'application/problem+json; charset=utf-8')
    .send(JSON.stringify(error.code === 'INTERNAL' ? { ...problem, requestId: context.requestId } : problem));
}
