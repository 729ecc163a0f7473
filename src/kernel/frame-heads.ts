/** Binary forms of request and response heads and of Load (see `contracts/frames.ts`). Strings are latin1, as in HTTP/1.1. */
import type { LoadSpec, RequestHead, ResponseHead } from '../contracts/frames.ts';

/** A payload that does not follow the protocol; whoever sent it is broken or hostile. */
export class MalformedFrame extends Error {
  override readonly name = 'MalformedFrame';
}

const LENGTH_BYTES = 4;
const COUNT_BYTES = 2;
const MAX_STRINGS = 0xffff;

/** Node's own, without the checks of `toString` and `write`. */
type Latin1 = Buffer & {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, start: number): number;
};

const SHORT = 256;
/** The length of a string as the four characters that stand before it. */
const shortLengths = Array.from({ length: SHORT }, (_, length) => lengthText(length));

function lengthText(length: number): string {
  return String.fromCharCode(length & 0xff, (length >>> 8) & 0xff, (length >>> 16) & 0xff, length >>> 24);
}

/** The strings with their number and lengths as one string: it is written in one call, and not two for each header. */
function joined(strings: readonly string[]): string {
  if (strings.length > MAX_STRINGS) throw new RangeError('too many headers');
  let text = String.fromCharCode(strings.length & 0xff, strings.length >>> 8);
  for (let index = 0; index < strings.length; index++) {
    const each = strings[index]!;
    text += (shortLengths[each.length] ?? lengthText(each.length)) + each;
  }
  return text;
}

function readStrings(source: Buffer, start: number): { strings: string[]; next: number } {
  const end = endOfStrings(source, start);
  const text = (source as Latin1).latin1Slice(start, end);
  const strings: string[] = [];
  for (let at = start + COUNT_BYTES; at < end;) {
    const from = at + LENGTH_BYTES;
    at = from + source.readUInt32LE(at);
    strings.push(text.slice(from - start, at - start));
  }
  return { strings, next: end };
}

/** @throws MalformedFrame when they are not all there */
function endOfStrings(source: Buffer, start: number): number {
  if (start + COUNT_BYTES > source.length) throw new MalformedFrame('head is cut off');
  let at = start + COUNT_BYTES;
  for (let left = source.readUInt16LE(start); left > 0; left--) {
    if (at + LENGTH_BYTES > source.length) throw new MalformedFrame('head is cut off');
    at += LENGTH_BYTES + source.readUInt32LE(at);
  }
  if (at > source.length) throw new MalformedFrame('head is cut off');
  return at;
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
  const text = joined(strings);
  const buffer = Buffer.allocUnsafe(text.length);
  (buffer as Latin1).latin1Write(text, 0);
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
  const text = joined(head.headers);
  const buffer = Buffer.allocUnsafe(COUNT_BYTES + text.length + (body?.length ?? 0));
  const next = buffer.writeUInt16LE(head.status, 0) + (buffer as Latin1).latin1Write(text, COUNT_BYTES);
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
  readonly bytecode: Uint8Array | null;
}

export function encodeLoad(spec: Omit<LoadSpec, 'parts'>, parts: LoadParts): Buffer {
  const pieces = [
    parts.code,
    parts.sourceMap ?? new Uint8Array(),
    parts.bytecode ?? new Uint8Array(),
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
  const bytecodeEnd = mapEnd + spec.parts[2];
  return {
    spec,
    code: payload.subarray(jsonEnd, codeEnd),
    sourceMap: mapEnd > codeEnd ? payload.subarray(codeEnd, mapEnd) : null,
    bytecode: bytecodeEnd > mapEnd ? payload.subarray(mapEnd, bytecodeEnd) : null,
  };
}
