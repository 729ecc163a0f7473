/** Node's own `IncomingMessage` over an invocation. Express, Koa and others change its prototype, so its methods are its own. */
import http from 'node:http';
import type { Socket } from 'node:net';
import type { Exchange } from '../exchange.ts';
import type { NodeSocket } from './node-socket.ts';
import { kHeadersCount } from './node-symbols.ts';

const kExchange = Symbol('exchange');

type Incoming = http.IncomingMessage & {
  [kExchange]: Exchange;
  [kHeadersCount]: number;
  _readableState: { readingMore: boolean };
  _consuming: boolean;
};

export function createNodeRequest(exchange: Exchange, socket: NodeSocket): http.IncomingMessage {
  const request = new http.IncomingMessage(socket as unknown as Socket) as Incoming;
  const { head } = exchange;
  request.method = head.method;
  request.url = head.url;
  request.httpVersion = '1.1';
  request.httpVersionMajor = 1;
  request.httpVersionMinor = 1;
  request.rawHeaders = head.headers as string[];
  request[kHeadersCount] = head.headers.length;
  request[kExchange] = exchange;
  request._read = read;
  if (exchange.body.isFinished) request.complete = true;
  return request;
}

/** Passes on what there is until the reader has enough; Node calls it again when it wants more. */
function read(this: Incoming): void {
  this._readableState.readingMore = false;
  this._consuming = true;
  const { body } = this[kExchange];
  let chunk: Buffer | null;
  while ((chunk = body.take()) !== null) {
    if (!this.push(chunk)) return;
  }
  if (body.isFinished) {
    this.complete = true;
    this.push(null);
  } else body.onReadable = () => Reflect.apply(read, this, []);
}
