/** Requests that are no HTTP, or do not come: Node's strict parser refused them (hostile cases 27 and 29). */
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { BerthError } from '../contracts/errors.ts';
import { rawProblem } from '../invoke/problem.ts';

/** For a caller that reads nothing: the connection is gone after this at the latest. */
const LINGER_MS = 2_000;

/** Listener for `clientError`: says what is wrong where a response can still be said, and closes in any case. */
export function onClientError(error: NodeJS.ErrnoException, stream: Duplex): void {
  const { _httpMessage: message } = stream as Duplex & { readonly _httpMessage?: ServerResponse | null };
  // In the midst of a response more bytes would be taken for a part of it.
  const isMidResponse = message?.headersSent === true;
  if (!stream.writable || isMidResponse || error.code === 'ECONNRESET') {
    stream.destroy();
    return;
  }
  // No method of sockets: connections of tenants' functions to each other are none.
  const timer = setTimeout(() => stream.destroy(), LINGER_MS);
  stream.once('close', () => clearTimeout(timer));
  stream.end(rawProblem(problemOfParser(error)), () => stream.destroy());
}

function problemOfParser({ code }: NodeJS.ErrnoException): BerthError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new BerthError('HEADERS_TOO_LARGE', { name: 'requestHeaderBytes' });
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new BerthError('BODY_TOO_LARGE', { limit: 'of chunk extensions' });
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new BerthError('REQUEST_TIMEOUT', { name: 'headersMs', limit: 'of the gateway' });
    default:
      return new BerthError('BAD_REQUEST', { reason: 'it is not HTTP/1.1' });
  }
}
