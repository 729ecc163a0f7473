/** Rules for every request that Node's parser let through but that readers before or behind us may take in two ways. */
import type { IncomingMessage } from 'node:http';
import { BerthError } from '../contracts/errors.ts';

const MAX_HEADERS = 1_000;
const HOST_LENGTH = 4;

/** @returns null when there is nothing to object to */
export function edgeProblem(request: IncomingMessage): BerthError | null {
  const { rawHeaders } = request;
  if (rawHeaders.length > MAX_HEADERS * 2)
    return new BerthError('HEADERS_TOO_LARGE', { name: 'headers', limit: MAX_HEADERS });
  if (hasTwoHosts(rawHeaders)) return refused('it has more than one Host header');
  if (request.httpVersionMinor === 0 && request.headers['transfer-encoding'] !== undefined)
    return refused('HTTP/1.0 knows no Transfer-Encoding');
  return null;
}

/** RFC 9112, 3.2: must be refused. Node takes the first, others take the last. */
function hasTwoHosts(rawHeaders: readonly string[]): boolean {
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!;
    if (name.length === HOST_LENGTH && name.toLowerCase() === 'host') hosts += 1;
  }
  return hosts > 1;
}

function refused(reason: string): BerthError {
  return new BerthError('BAD_REQUEST', { reason });
}
