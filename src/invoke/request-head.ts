/**
 * What a function gets to see of the caller's request. Dropped: headers of the connection (RFC 9110, 7.6.1), `x-berth-*`
 * and `x-wt-params` (ours), `expect` (answered here), and, unless a proxy in front is trusted, who the caller says to be
 * (`forwarded`, `x-forwarded-*`, `x-real-ip` and the like). Added: `x-forwarded-for`, `-proto`, `-host` as we saw them,
 * `x-berth-invocation`, and a `traceparent` where there is no valid one. A body of unknown length is said as
 * `transfer-encoding: chunked`, since Node frameworks look there to know that there is a body; the bytes are not chunked.
 * `authorization` is passed on: tenants' code may want the claims. A token that may manage does not come as far as this
 * (`caller-token.ts`).
 */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { HeaderKind, kindOfHeader, namedByConnection } from './header-names.ts';

export interface RequestHeadOptions {
  readonly invocation: string;
  readonly traceParent: () => string;
  readonly trustProxy: boolean;
  readonly isUpgrade: boolean;
  /** instead of the request's own */
  readonly headers: readonly string[] | undefined;
}

export interface ForwardedHead {
  readonly headers: string[];
  /** of the request line and the headers as they came */
  readonly headerBytes: number;
  readonly remoteAddress: string;
  readonly scheme: 'http' | 'https';
}

const LINE_BYTES = 4;
const REQUEST_LINE_BYTES = 12;
const TRACE_PARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const MAPPED_V4 = '::ffff:';

export function forwardRequest(request: IncomingMessage, options: RequestHeadOptions): ForwardedHead {
  const raw = options.headers ?? request.rawHeaders;
  const dropped = namedByConnection(request.headers.connection);
  const headers: string[] = [];
  let hasTrace = false;
  let headerBytes = (request.method ?? '').length + (request.url ?? '').length + REQUEST_LINE_BYTES;
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index]!;
    const value = raw[index + 1]!;
    headerBytes += name.length + value.length + LINE_BYTES;
    const kind = kindOfHeader(name);
    if (kind === HeaderKind.TraceParent) {
      if (hasTrace || !TRACE_PARENT.test(value)) continue;
      hasTrace = true;
    } else if (!isPassedOn(kind, name, options)) continue;
    if (dropped.size > 0 && dropped.has(name.toLowerCase())) continue;
    headers.push(name, value);
  }
  if (options.isUpgrade) headers.push('connection', 'Upgrade', 'upgrade', request.headers.upgrade ?? '');
  else if (request.headers['transfer-encoding'] !== undefined) headers.push('transfer-encoding', 'chunked');
  if (!hasTrace) headers.push('traceparent', options.traceParent());
  headers.push('x-berth-invocation', options.invocation);
  return { headers, headerBytes, ...addOrigin(request, headers, options.trustProxy) };
}

function isPassedOn(kind: HeaderKind, name: string, options: RequestHeadOptions): boolean {
  switch (kind) {
    case HeaderKind.Pass:
    case HeaderKind.Host:
    case HeaderKind.ContentLength:
      return true;
    case HeaderKind.Forwarded:
      return options.trustProxy && !isRewritten(name);
    default:
      return false;
  }
}

/** Those that we say anew, from what the trusted proxy said. */
function isRewritten(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === 'x-forwarded-for' || lower === 'x-forwarded-proto' || lower === 'x-forwarded-host';
}

function addOrigin(
  request: IncomingMessage,
  headers: string[],
  trustProxy: boolean,
): { remoteAddress: string; scheme: 'http' | 'https' } {
  const peer = addressOf(request);
  const own = (request.socket as TLSSocket).encrypted === true ? 'https' : 'http';
  if (!trustProxy) {
    addForwarded(headers, peer, own, request.headers.host);
    return { remoteAddress: peer, scheme: own };
  }
  const said = single(request.headers['x-forwarded-for']);
  const scheme = lastOf(single(request.headers['x-forwarded-proto'])) ?? own;
  const host = lastOf(single(request.headers['x-forwarded-host'])) ?? request.headers.host;
  const isHttps = scheme === 'https';
  addForwarded(headers, said === undefined ? peer : `${said}, ${peer}`, isHttps ? 'https' : 'http', host);
  const client = lastOf(said);
  return {
    remoteAddress: client !== undefined && isIP(client) !== 0 ? client : peer,
    scheme: isHttps ? 'https' : 'http',
  };
}

function addForwarded(headers: string[], addresses: string, scheme: string, host: string | undefined): void {
  headers.push('x-forwarded-for', addresses, 'x-forwarded-proto', scheme);
  if (host !== undefined) headers.push('x-forwarded-host', host);
}

function addressOf(request: IncomingMessage): string {
  const address = request.socket.remoteAddress ?? '';
  return address.startsWith(MAPPED_V4) ? address.slice(MAPPED_V4.length) : address;
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value;
}

/** The entry that the nearest proxy added itself; those before it are hearsay. */
function lastOf(list: string | undefined): string | undefined {
  if (list === undefined) return undefined;
  const last = list.slice(list.lastIndexOf(',') + 1).trim();
  return last === '' ? undefined : last;
}

/** @returns bytes of the body that the caller declared; 0 none; -1 unknown (chunked) */
export function declaredBodyBytes(request: IncomingMessage): number {
  if (request.headers['transfer-encoding'] !== undefined) return -1;
  const length = request.headers['content-length'];
  return length === undefined ? 0 : Number(length);
}
