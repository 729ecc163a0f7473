/** Failures as callers get them: RFC 9457 problem documents. */
import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { BerthError } from '../contracts/errors.ts';
import { problemOf } from '../contracts/errors.ts';
import type { WriteError } from './invoker.ts';

const RETRY_AFTER_SECONDS = '1';

/** The default `WriteError`. `invocation` is '' for a request that never became one. A response that has begun is broken off. */
export const writeProblem: WriteError = (response, error, invocation) => {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = problemBody(error, invocation);
  response.writeHead(error.definition.status, problemHeaders(error, invocation, body));
  response.end(body);
};

/** The same on a bare socket, where there is no response object; the connection ends with it. */
export function rawProblem(error: BerthError): string {
  const { status } = error.definition;
  const body = problemBody(error, '');
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}`, 'connection: close'];
  const headers = problemHeaders(error, '', body);
  for (let index = 0; index < headers.length; index += 2)
    lines.push(`${headers[index]}: ${headers[index + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

function problemBody(error: BerthError, invocation: string): string {
  return JSON.stringify(invocation === '' ? problemOf(error) : { ...problemOf(error), invocation });
}

function problemHeaders(error: BerthError, invocation: string, body: string): string[] {
  const headers = [
    'content-type',
    'application/problem+json',
    'content-length',
    String(Buffer.byteLength(body)),
    'cache-control',
    'no-store',
  ];
  if (invocation !== '') headers.push('x-berth-invocation', invocation);
  if (error.definition.retry) headers.push('retry-after', RETRY_AFTER_SECONDS);
  if (error.code === 'TOKEN_MISSING') headers.push('www-authenticate', 'Bearer');
  if (error.code === 'TOKEN_INVALID') headers.push('www-authenticate', 'Bearer error="invalid_token"');
  return headers;
}

/** Ends a connection in the middle of a response so that no client can take what it got for the whole. */
export function breakOff(response: ServerResponse): void {
  // In HTTP/1.0 the end of the connection may be the end of the body: only a reset tells them apart.
  if (response.req.httpVersionMinor === 0) response.socket?.resetAndDestroy();
  response.destroy();
}
