/**
 * Node's own `ServerResponse` over an invocation. Where Node would make text for a socket, the head goes to the channel as
 * status and headers, and the body without chunked framing. Frameworks change the prototype of the object, so what is
 * replaced lies on the object itself.
 */
import http from 'node:http';
import type { Socket } from 'node:net';
import type { Exchange } from '../exchange.ts';
import { isConnectionHeader } from './header-names.ts';
import type { NodeSocket } from './node-socket.ts';
import { kNeedDrain, kOutHeaders } from './node-symbols.ts';

const kExchange = Symbol('exchange');
const kHeaders = Symbol('headers');
const kFinish = Symbol('finish');
const NOTHING = Buffer.alloc(0);
/** From here on the channel passes bytes on by reference (frame writer), and who has a callback may reuse them. */
const COPY_FROM_BYTES = 8 * 1024;

type Finish = (error?: Error | null) => void;

export type Outgoing = http.ServerResponse & {
  [kExchange]: Exchange;
  [kHeaders]: string[];
  [kFinish]: Finish | null;
  [name: symbol]: unknown;
  _header: string | null;
  _headerSent: boolean;
  _hasBody: boolean;
  _contentLength: number | null;
  _removedContLen: boolean;
  _closed: boolean;
};

const prefinish = (http.ServerResponse.prototype as unknown as { _finish(): void })._finish;

export function createNodeResponse(
  exchange: Exchange,
  request: http.IncomingMessage,
  socket: NodeSocket,
): http.ServerResponse {
  const response = new http.ServerResponse(request) as Outgoing;
  response[kExchange] = exchange;
  response[kHeaders] = [];
  response[kFinish] = null;
  Object.assign(response, replaced);
  (response as { socket: unknown }).socket = socket as unknown as Socket;
  socket._httpMessage = response;
  exchange.response.onDrain = () => drain(response);
  exchange.response.onSent = () => sent(response);
  return response;
}

/** The caller is gone: as Node, which says `close` and refuses writes from then on. */
export function closeNodeResponse(response: http.ServerResponse): void {
  const outgoing = response as Outgoing;
  if (outgoing._closed) return;
  outgoing.destroyed = true;
  outgoing._closed = true;
  outgoing.emit('close');
}

const replaced = {
  _storeHeader(this: Outgoing, statusLine: string, headers: unknown): void {
    const list = this[kHeaders];
    let hasLength = false;
    const add = (name: string, value: unknown): void => {
      if (name.length === 14 && name.toLowerCase() === 'content-length') hasLength = true;
      addHeader(list, name, value);
    };
    if (headers === this[kOutHeaders]) addStored(headers, add);
    else addGiven(headers, add);
    if (!hasLength && this._hasBody && !this._removedContLen && typeof this._contentLength === 'number')
      list.push('Content-Length', String(this._contentLength));
    this._header = `${statusLine}\r\n`;
    this._headerSent = false;
  },

  _send(
    this: Outgoing,
    data: string | Uint8Array,
    encoding?: BufferEncoding | null,
    done?: Finish | null,
  ): boolean {
    const { response } = this[kExchange];
    if (!this._headerSent) {
      this._headerSent = true;
      begin(this);
    }
    const bytes = bytesOf(data, encoding, typeof done === 'function');
    const hasRoom = response.write(bytes);
    if (typeof done === 'function') later(this, done, hasRoom);
    return hasRoom;
  },

  /** Interim responses (1xx) come this way; they end here. */
  _writeRaw(_data: unknown, _encoding: unknown, done?: Finish): boolean {
    if (typeof done === 'function') process.nextTick(done);
    return true;
  },

  _finish(this: Outgoing): void {
    Reflect.apply(prefinish, this, []);
    this[kExchange].response.end();
  },

  /** Trailers have no place on the channel. */
  addTrailers(): void {},
};

/** A head that cannot be sent fails the invocation here: thrown into the tenant's code it might end the whole process. */
function begin(outgoing: Outgoing): void {
  const exchange = outgoing[kExchange];
  if (exchange.isOver || exchange.isCancelled) return;
  try {
    exchange.response.begin(outgoing.statusCode, outgoing[kHeaders]);
  } catch (error) {
    exchange.fail(error);
  }
}

/** `finish` must come after the last byte has left; callbacks of single writes come at the next tick. */
function later(outgoing: Outgoing, done: Finish, hasRoom: boolean): void {
  const isLast = outgoing.finished === false && !hasRoom;
  if (isLast && outgoing[kFinish] === null) outgoing[kFinish] = done;
  else process.nextTick(done);
}

function drain(outgoing: Outgoing): void {
  const finish = outgoing[kFinish];
  outgoing[kFinish] = null;
  if (finish !== null) process.nextTick(finish);
  if (outgoing.finished || outgoing[kNeedDrain] !== true) return;
  outgoing[kNeedDrain] = false;
  outgoing.emit('drain');
}

/** The response is complete: after `finish` comes `close`, and a request body that nobody read is thrown away. */
function sent(outgoing: Outgoing): void {
  drain(outgoing);
  process.nextTick(afterFinish, outgoing);
}

function afterFinish(outgoing: Outgoing): void {
  const request = outgoing.req as http.IncomingMessage & { _consuming: boolean; _dump(): void };
  if (!request._consuming && isHeard(request)) request._dump();
  process.nextTick(closeNodeResponse, outgoing);
}

function isHeard(request: http.IncomingMessage): boolean {
  return request.listenerCount('close') > 0 || request.listenerCount('end') > 0;
}

function addStored(headers: unknown, add: (name: string, value: unknown) => void): void {
  if (headers === null || headers === undefined) return;
  const stored = headers as Record<string, [string, unknown]>;
  for (const key of Object.keys(stored)) add(stored[key]![0], stored[key]![1]);
}

/** Headers as `writeHead` takes them: pairs, a flat list, or an object; not checked by Node until here. */
function addGiven(headers: unknown, add: (name: string, value: unknown) => void): void {
  const checked = (name: string, value: unknown): void => {
    http.validateHeaderName(name);
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value])
      http.validateHeaderValue(name, one as string);
    add(name, value);
  };
  if (Array.isArray(headers)) {
    if (Array.isArray(headers[0]))
      for (const [name, value] of headers as [string, unknown][]) checked(name, value);
    else for (let at = 0; at + 1 < headers.length; at += 2) checked(headers[at] as string, headers[at + 1]);
  } else if (typeof headers === 'object' && headers !== null) {
    for (const name of Object.keys(headers)) checked(name, (headers as Record<string, unknown>)[name]);
  }
}

function addHeader(list: string[], name: string, value: unknown): void {
  if (isConnectionHeader(name)) return;
  if (!Array.isArray(value)) list.push(name, String(value));
  else for (const one of value) list.push(name, String(one));
}

function bytesOf(
  data: string | Uint8Array,
  encoding: BufferEncoding | null | undefined,
  hasCallback: boolean,
): Uint8Array {
  if (typeof data === 'string') return data === '' ? NOTHING : Buffer.from(data, encoding ?? 'utf8');
  return hasCallback && data.length >= COPY_FROM_BYTES ? Uint8Array.from(data) : data;
}
