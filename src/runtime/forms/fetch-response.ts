/** Sends a Fetch `Response`: head, then the body as it comes, as fast as the caller reads it. */
import type { Exchange } from '../exchange.ts';
import { ResponseInvalid } from '../response-writer.ts';
import { isConnectionHeader } from './header-names.ts';

const NO_BODY_STATUS = new Set([101, 204, 205, 304]);

/** A `Response` of Node, or of a library that brings its own. Told by its members: to ask for the class would load it. */
export function isResponse(value: unknown): value is Response {
  if (
    typeof value !== 'object' ||
    value === null ||
    !('status' in value && 'headers' in value && 'body' in value)
  )
    return false;
  const { status, headers } = value as { status: unknown; headers: Headers | null | undefined };
  return typeof status === 'number' && typeof headers?.forEach === 'function' && 'arrayBuffer' in value;
}

/** Resolves when the whole body has been handed over. @throws ResponseInvalid; and what reading the body throws */
export async function sendResponse(exchange: Exchange, response: Response): Promise<void> {
  const { status } = response;
  // `Response.error()` has status 0.
  if (status < 200) throw new ResponseInvalid(`its status is ${status}`);
  if (exchange.isOver || exchange.isCancelled) return void response.body?.cancel();
  exchange.response.begin(status, headersOf(response.headers));
  const { body } = response;
  if (body === null || exchange.head.method === 'HEAD' || NO_BODY_STATUS.has(status)) {
    exchange.response.end();
    if (body !== null) await body.cancel();
    return;
  }
  if (typeof (body as Partial<ReadableStream>).getReader === 'function') await pump(exchange, body);
  else await pumpIterable(exchange, body as unknown as AsyncIterable<Uint8Array>);
}

function headersOf(headers: Headers): string[] {
  const list: string[] = [];
  headers.forEach((value, name) => {
    if (!isConnectionHeader(name)) list.push(name, value);
  });
  return list;
}

async function pump(exchange: Exchange, body: ReadableStream<unknown>): Promise<void> {
  const reader = body.getReader();
  const { response } = exchange;
  const cancel = (): void => void reader.cancel(exchange.signal.reason).catch(() => undefined);
  if (exchange.isCancelled) return cancel();
  exchange.onAbort = () => {
    cancel();
    response.onDrain?.();
  };
  for (;;) {
    const { done, value } = await reader.read();
    if (exchange.isCancelled) return;
    if (done) return response.end();
    if (!response.write(bytesOf(value))) await drained(exchange);
  }
}

/** Bodies that are Node streams, as `node-fetch` has them. */
async function pumpIterable(exchange: Exchange, body: AsyncIterable<Uint8Array>): Promise<void> {
  exchange.onAbort = () => exchange.response.onDrain?.();
  for await (const chunk of body) {
    if (exchange.isCancelled) return;
    if (!exchange.response.write(bytesOf(chunk))) await drained(exchange);
  }
  exchange.response.end();
}

async function drained({ response }: Exchange): Promise<void> {
  await new Promise<void>((resolve) => {
    response.onDrain = resolve;
  });
  response.onDrain = null;
}

function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new TypeError('A body stream gave something that is not a Uint8Array.');
}
