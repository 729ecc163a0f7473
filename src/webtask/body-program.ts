/** Reads a program out of a request's body, and makes the request that the program itself will see. */
import { IncomingMessage } from 'node:http';
import { BerthError } from '../contracts/errors.ts';
import { withoutHeaders } from '../invoke/caller-token.ts';
import type { Clock } from '../kernel/clock.ts';
import { webtaskLimits } from './webtask-limits.ts';

const ARRIVAL_MS = webtaskLimits.webtaskProgramMs.value;
/** What spoke of the program, or may do more than it. */
const HEADERS_OF_THE_CALLER: ReadonlySet<string> = new Set([
  'authorization',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'transfer-encoding',
]);

/**
 * What is not read is left to the caller of this function, the connection too, so that an error can still be answered.
 * @throws BerthError CODE_TOO_LARGE, REQUEST_TIMEOUT, BAD_REQUEST when the body is broken off
 */
export function readProgram(request: IncomingMessage, limit: number, clock: Clock): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (error: BerthError | null): void => {
      cancel();
      request.off('data', onData).off('end', onEnd).off('close', onClose).pause();
      if (error === null) resolve(Buffer.concat(chunks, size));
      else reject(error);
    };
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > limit) settle(new BerthError('CODE_TOO_LARGE', { size: `more than ${limit}`, limit }));
      else chunks.push(chunk);
    };
    const onEnd = (): void => settle(null);
    const onClose = (): void => settle(new BerthError('BAD_REQUEST', { reason: 'the body was broken off' }));
    const late = new BerthError('REQUEST_TIMEOUT', { name: 'webtaskProgramMs', limit: ARRIVAL_MS });
    const cancel = clock.after(ARRIVAL_MS, () => settle(late));
    request.on('data', onData).on('end', onEnd).on('close', onClose);
    if (request.destroyed) onClose();
  });
}

/** A GET on the same connection with an empty body: the body of the real request was the program. */
export function requestWithoutBody(request: IncomingMessage, url: string): IncomingMessage {
  const empty = new IncomingMessage(request.socket);
  empty.method = 'GET';
  empty.url = url;
  empty.httpVersion = request.httpVersion;
  empty.httpVersionMajor = request.httpVersionMajor;
  empty.httpVersionMinor = request.httpVersionMinor;
  // `headers` is made of `rawHeaders` at its first use.
  empty.rawHeaders = [...withoutHeaders(request.rawHeaders, HEADERS_OF_THE_CALLER)];
  empty.complete = true;
  empty.push(null);
  return empty;
}
