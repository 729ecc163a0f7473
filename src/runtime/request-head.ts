/** Decodes a Request frame with one look-up of the whole head; the hot counterpart of the kernel's `decodeRequestHead`. */
import type { RequestHead } from '../contracts/frames.ts';
import { MalformedFrame } from '../kernel/frame-heads.ts';

/** Node's own, without the checks of `toString`. */
type Latin1 = Buffer & { latin1Slice(start: number, end: number): string };

const FIELDS = 6;
const COUNT_BYTES = 2;
const LENGTH_BYTES = 4;

export function decodeHead(payload: Buffer): { head: RequestHead; body: Buffer } {
  const count = payload[0]! | (payload[1]! << 8);
  if (count < FIELDS || count % 2 !== 0) throw new MalformedFrame('request head is not complete');
  const text = (payload as Latin1).latin1Slice(0, headEnd(payload, count));
  let at = COUNT_BYTES;
  const next = (): string => {
    const start = at + LENGTH_BYTES;
    at = start + lengthAt(payload, at);
    return text.slice(start, at);
  };
  const method = next();
  const url = next();
  const basePath = next();
  const remoteAddress = next();
  const scheme = next() === 'https' ? 'https' : 'http';
  const invocation = next();
  const headers: string[] = [];
  for (let index = FIELDS; index < count; index++) headers.push(next());
  return {
    head: { method, url, basePath, remoteAddress, scheme, invocation, headers },
    body: payload.subarray(at),
  };
}

function headEnd(payload: Buffer, count: number): number {
  let at = COUNT_BYTES;
  for (let index = 0; index < count; index++) {
    if (at + LENGTH_BYTES > payload.length) throw new MalformedFrame('head is cut off');
    at += LENGTH_BYTES + lengthAt(payload, at);
  }
  if (at > payload.length) throw new MalformedFrame('head is cut off');
  return at;
}

function lengthAt(source: Buffer, at: number): number {
  return (source[at]! | (source[at + 1]! << 8) | (source[at + 2]! << 16) | (source[at + 3]! << 24)) >>> 0;
}
