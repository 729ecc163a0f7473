/** Binary forms of request and response heads and of Load (see `contracts/frames.ts`). Strings are latin1, as in HTTP/1.1. */
import type { LoadSpec, RequestHead, ResponseHead } from '../contracts/frames.ts';

/** A payload that does not follow the protocol; whoever sent it is broken or hostile. */
export class MalformedFrame extends Error {
  override readonly name = 'MalformedFrame';
}

const LENGTH_BYTES = 4;
const COUNT_BYTES = 2;
const MAX_STRINGS = 0xffff;

function stringsBytes(strings: readonly string[]): number {
  let bytes = COUNT_BYTES;
  for (const text of strings) bytes += LENGTH_BYTES + text.length;
  return bytes;
}

function writeStrings(target: Buffer, start: number, strings: readonly string[]): number {
  if (strings.length > MAX_STRINGS) throw new RangeError('too many headers');
  let at = target.writeUInt16LE(strings.length, start);
  for (const text of strings) {
    at = target.writeUInt32LE(text.length, at);
    at += target.write(text, at, 'latin1');
  }
  return at;
}

function readStrings(source: Buffer, start: number): { strings: string[]; next: number } {
  if (start + COUNT_BYTES > source.length) throw new MalformedFrame('head is cut off');
  const count = source.readUInt16LE(start);
  const strings: string[] = [];
  let at = start + COUNT_BYTES;
  for (let index = 0; index < count; index++) {
    if (at + LENGTH_BYTES > source.length) throw new MalformedFrame('head is cut off');
    const length = source.readUInt32LE(at);
    at += LENGTH_BYTES;
    if (length > source.length - at) throw new MalformedFrame('head is cut off');
    strings.push(source.toString('latin1', at, at + length));
    at += length;
  }
  return { strings, next: at };
}

const REQUEST_FIELDS = 6;

export function encodeRequestHead(head: RequestHead): Buffer {
  const strings = [
    head.method,
    head.url,
    head.basePath,
    head.remoteAddress,
    head.scheme,
    head.invocation,
    ...head.headers,
  ];
  const buffer = Buffer.allocUnsafe(stringsBytes(strings));
  writeStrings(buffer, 0, strings);
  return buffer;
}

export function decodeRequestHead(payload: Buffer): { head: RequestHead; body: Buffer } {
  const { strings, next } = readStrings(payload, 0);
  if (strings.length < REQUEST_FIELDS || strings.length % 2 !== 0)
    throw new MalformedFrame('request head is not complete');
  const [method = '', url = '', basePath = '', remoteAddress = '', scheme = '', invocation = ''] = strings;
  const head: RequestHead = {
    method,
    url,
    basePath,
    remoteAddress,
    scheme: scheme === 'https' ? 'https' : 'http',
    invocation,
    headers: strings.slice(REQUEST_FIELDS),
  };
  return { head, body: payload.subarray(next) };
}

/** @param body the first bytes of the body, at most MAX_DATA_BYTES */
export function encodeResponseHead(head: ResponseHead, body?: Uint8Array): Buffer {
  const buffer = Buffer.allocUnsafe(COUNT_BYTES + stringsBytes(head.headers) + (body?.length ?? 0));
  const next = writeStrings(buffer, buffer.writeUInt16LE(head.status, 0), head.headers);
  if (body !== undefined) buffer.set(body, next);
  return buffer;
}

/** @throws MalformedFrame on anything but a whole head with an even number of strings; names and values are not checked */
export function decodeResponseHead(payload: Buffer): { head: ResponseHead; body: Buffer } {
  if (payload.length < COUNT_BYTES) throw new MalformedFrame('head is cut off');
  const status = payload.readUInt16LE(0);
  const { strings, next } = readStrings(payload, COUNT_BYTES);
  if (strings.length % 2 !== 0) throw new MalformedFrame('a header has no value');
  return { head: { status, headers: strings }, body: payload.subarray(next) };
}

export interface LoadParts {
  readonly code: Uint8Array;
  readonly sourceMap: Uint8Array | null;
  readonly codeCache: Uint8Array | null;
}

export function encodeLoad(spec: Omit<LoadSpec, 'parts'>, parts: LoadParts): Buffer {
  const pieces = [
    parts.code,
    parts.sourceMap ?? new Uint8Array(),
    parts.codeCache ?? new Uint8Array(),
  ] as const;
  const whole: LoadSpec = { ...spec, parts: [pieces[0].length, pieces[1].length, pieces[2].length] };
  const json = Buffer.from(JSON.stringify(whole));
  const length = Buffer.allocUnsafe(LENGTH_BYTES);
  length.writeUInt32LE(json.length);
  return Buffer.concat([length, json, ...pieces]);
}

export function decodeLoad(payload: Buffer): { spec: LoadSpec } & LoadParts {
  const jsonEnd = LENGTH_BYTES + payload.readUInt32LE(0);
  const spec = JSON.parse(payload.toString('utf8', LENGTH_BYTES, jsonEnd)) as LoadSpec;
  const codeEnd = jsonEnd + spec.parts[0];
  const mapEnd = codeEnd + spec.parts[1];
  const cacheEnd = mapEnd + spec.parts[2];
  return {
    spec,
    code: payload.subarray(jsonEnd, codeEnd),
    sourceMap: mapEnd > codeEnd ? payload.subarray(codeEnd, mapEnd) : null,
    codeCache: cacheEnd > mapEnd ? payload.subarray(mapEnd, cacheEnd) : null,
  };
}
