/** Reads the body of a request, bounded in bytes and time, and parses it where it is JSON. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { BerthError } from '../contracts/errors.ts';
import type { Limits } from '../contracts/limits.ts';
import { hasAtMostValues } from '../kernel/json-values.ts';
import { apiLimits } from './api-limits.ts';
import type { RawBody } from './route.ts';

export type ParsedBody =
  | { readonly json: unknown; readonly raw: null }
  | { readonly json: undefined; readonly raw: RawBody };

export const noBody: ParsedBody = { json: undefined, raw: null };

/** How many bytes, and the limit to name when there are more. */
export interface BodyLimit {
  readonly bytes: number;
  readonly name: string;
}

const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json$/;

export function mediaTypeOf(headers: IncomingHttpHeaders): string {
  return (headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
}

/**
 * A deploy may be as long as the tenant's codeBytes; as JSON it carries a source map too, and base64 or escapes make it
 * longer. Control checks the parts exactly afterwards.
 */
export function bodyLimitOf(takesCode: boolean, mediaType: string, limits: Limits | null): BodyLimit {
  if (!takesCode || limits === null) return { bytes: apiLimits.apiBodyBytes.value, name: 'apiBodyBytes' };
  const bytes = JSON_TYPE.test(mediaType)
    ? limits.codeBytes * 4 + apiLimits.apiBodyBytes.value
    : limits.codeBytes;
  return { bytes, name: 'codeBytes' };
}

/** @throws BerthError BAD_REQUEST, BODY_TOO_LARGE, CODE_TOO_LARGE */
export async function readBody(
  stream: Readable,
  headers: IncomingHttpHeaders,
  { limit, takesCode }: { readonly limit: BodyLimit; readonly takesCode: boolean },
): Promise<ParsedBody> {
  const mediaType = mediaTypeOf(headers);
  const isJson = JSON_TYPE.test(mediaType);
  const announced = Number(headers['content-length'] ?? 0);
  if (announced > limit.bytes) throw tooLarge(limit, takesCode && !isJson ? announced : null);
  const bytes = await collect(stream, limit);
  if (isJson) return bytes.length === 0 ? noBody : { json: parseJson(bytes), raw: null };
  if (takesCode) return { json: undefined, raw: { bytes, mediaType } };
  if (bytes.length === 0) return noBody;
  throw new BerthError('BAD_REQUEST', {
    reason: 'the body must be JSON, with content-type application/json',
  });
}

function tooLarge(limit: BodyLimit, size: number | null): BerthError {
  return size === null
    ? new BerthError('BODY_TOO_LARGE', { limit: limit.name })
    : new BerthError('CODE_TOO_LARGE', { size, limit: limit.bytes });
}

async function collect(stream: Readable, limit: BodyLimit): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  const late = setTimeout(
    () =>
      stream.destroy(
        new BerthError('REQUEST_TIMEOUT', { name: 'apiBodyMs', limit: apiLimits.apiBodyMs.value }),
      ),
    apiLimits.apiBodyMs.value,
  );
  try {
    // Not destroyed on the way out: the answer goes over the same socket.
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      size += (chunk as Buffer).length;
      if (size > limit.bytes) throw tooLarge(limit, null);
      chunks.push(chunk as Buffer);
    }
  } finally {
    clearTimeout(late);
  }
  return Buffer.concat(chunks, size);
}

function parseJson(bytes: Buffer): unknown {
  if (!hasAtMostValues(bytes, apiLimits.apiJsonValues.value))
    throw new BerthError('BODY_TOO_LARGE', { limit: 'apiJsonValues' });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new BerthError('BAD_REQUEST', { reason: 'the body is not JSON in UTF-8' }, { cause: error });
  }
  const inner: readonly unknown[] = isObject(value) ? Object.values(value) : [];
  if ([value, ...inner].some(namesPrototype)) {
    throw new BerthError('BAD_REQUEST', { reason: 'the body has a key __proto__' });
  }
  return value;
}

/**
 * JSON.parse makes `__proto__` an own property, which a later copy by assignment would turn into a prototype. No schema of
 * the API takes free keys deeper than one level.
 */
function namesPrototype(value: unknown): boolean {
  return isObject(value) && Object.hasOwn(value, '__proto__');
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
