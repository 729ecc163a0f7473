/**
 * Fetches a key set from an address that a tenant chose: hostile until proven public. The address that is checked is the
 * one that is connected to; there are no redirects, no proxies, and limits on time and size.
 */
import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { callbackify } from 'node:util';
import { isPublicAddress } from '../../kernel/ip-address.ts';
import { freshForMs } from './freshness.ts';

export interface JwksAnswer {
  /** parsed, not checked */
  readonly json: unknown;
  /** How long it says that it may be believed; null: it does not say */
  readonly freshMs: number | null;
}

/** What the key set's address answered. Rejects on any failure. */
export type JwksFetch = (url: string) => Promise<JwksAnswer>;

export interface JwksFetchOptions {
  /** `host` or `host:port` from which key sets may come although it is not public or speaks plain http. */
  readonly allow?: readonly string[];
  readonly timeoutMs?: number;
  readonly maxBytes?: number;
  /** All addresses of a host; the system's resolver when left out. */
  readonly resolve?: (host: string) => Promise<readonly LookupAddress[]>;
}

const DEFAULT_TIMEOUT_MS = 5_000;
const DEFAULT_MAX_BYTES = 64 * 1024;
const MAX_HEADER_BYTES = 16 * 1024;

/** Says why a key set may not come from `url`, or null. Names are checked again, by their addresses, when it is fetched. */
export function refuseJwksUrl(url: URL, allow: readonly string[] = []): string | null {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'the url of a key set must be https';
  if (isAllowed(url, allow)) return null;
  if (url.protocol !== 'https:') return 'the url of a key set must be https';
  const host = bareHost(url);
  return isIP(host) !== 0 && !isPublicAddress(host) ? 'the url of a key set must be public' : null;
}

export function createJwksFetch(options: JwksFetchOptions = {}): JwksFetch {
  return async (text) => {
    const url = new URL(text);
    const refused = refuseJwksUrl(url, options.allow);
    if (refused !== null) throw new Error(refused);
    const signal = AbortSignal.timeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const response = await open(url, options, signal);
    const json: unknown = JSON.parse(await read(response, options.maxBytes ?? DEFAULT_MAX_BYTES));
    const { 'cache-control': cacheControl, age } = response.headers;
    return { json, freshMs: freshForMs(cacheControl, age) };
  };
}

function open(url: URL, options: JwksFetchOptions, signal: AbortSignal): Promise<IncomingMessage> {
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const lookup = isAllowed(url, options.allow ?? [])
    ? {}
    : { lookup: publicLookup(options.resolve ?? resolveAll) };
  return new Promise((resolve, reject) => {
    const request = send(url, {
      ...lookup,
      agent: false,
      headers: { accept: 'application/json' },
      maxHeaderSize: MAX_HEADER_BYTES,
      signal,
    });
    request.once('response', resolve).once('error', reject).end();
  });
}

async function read(response: IncomingMessage, maxBytes: number): Promise<string> {
  if (response.statusCode !== 200 || response.headers['content-encoding'] !== undefined) {
    response.destroy();
    throw new Error(`the key set was answered with ${response.statusCode} or encoded`);
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Leaving the loop destroys the response.
    if (size > maxBytes) throw new Error(`the key set has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** A look-up for `net.connect` that gives addresses only when all of them are public. */
function publicLookup(resolve: (host: string) => Promise<readonly LookupAddress[]>): LookupFunction {
  const lookup = callbackify((host: string) => publicAddresses(resolve, host));
  return (host, options, callback) => {
    lookup(host, (error, addresses) => {
      const [first] = addresses ?? [];
      if (error !== null || first === undefined) callback(error ?? new Error('no address'), '', 0);
      else if (options.all === true) callback(null, [...addresses]);
      else callback(null, first.address, first.family);
    });
  };
}

async function publicAddresses(
  resolve: (host: string) => Promise<readonly LookupAddress[]>,
  host: string,
): Promise<readonly LookupAddress[]> {
  const addresses = await resolve(host);
  if (addresses.length > 0 && addresses.every(({ address }) => isPublicAddress(address))) return addresses;
  throw new Error('the host of the key set has no public address, or one that is not');
}

function resolveAll(host: string): Promise<readonly LookupAddress[]> {
  return new Promise((resolve, reject) => {
    systemLookup(host, { all: true }, (error, addresses) =>
      error === null ? resolve(addresses) : reject(error),
    );
  });
}

function isAllowed(url: URL, allow: readonly string[]): boolean {
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return allow.includes(url.hostname) || allow.includes(`${url.hostname}:${port}`);
}

function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}
