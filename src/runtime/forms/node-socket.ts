/** What `req.socket` and `res.socket` are: no descriptor, but the facts and events that Node's HTTP classes and apps want. */
import { EventEmitter } from 'node:events';
import type { Exchange } from '../exchange.ts';
import { HIGH_WATER_BYTES } from '../response-writer.ts';

const HTTPS_PORT = 443;
const HTTP_PORT = 80;

export class NodeSocket extends EventEmitter {
  readonly #exchange: Exchange;
  readable = true;
  writable = true;
  destroyed = false;
  readonly connecting = false;
  readonly pending = false;
  readonly encrypted: boolean;
  readonly readableHighWaterMark = HIGH_WATER_BYTES;
  readonly writableHighWaterMark = HIGH_WATER_BYTES;
  /** Never 0: then Node's HTTP classes do not cork it, which would do nothing. */
  readonly writableCorked = 1;
  readonly _writableState = { corked: 1, needDrain: false, ended: false, finished: false };
  _httpMessage: unknown = null;
  /** Set by who owns the response: the tenant's code has destroyed the connection. */
  onDestroy: ((error: Error | undefined) => void) | null = null;

  constructor(exchange: Exchange) {
    super();
    this.#exchange = exchange;
    this.encrypted = exchange.head.scheme === 'https';
  }

  get remoteAddress(): string {
    return this.#exchange.head.remoteAddress;
  }

  get remoteFamily(): string {
    return this.remoteAddress.includes(':') ? 'IPv6' : 'IPv4';
  }

  get remotePort(): number {
    return 0;
  }

  get localAddress(): string {
    return '127.0.0.1';
  }

  get localPort(): number {
    return this.encrypted ? HTTPS_PORT : HTTP_PORT;
  }

  get writableLength(): number {
    return this.#exchange.response.queuedBytes;
  }

  get writableNeedDrain(): boolean {
    return this.writableLength >= HIGH_WATER_BYTES;
  }

  address(): { address: string; family: string; port: number } {
    return { address: this.localAddress, family: 'IPv4', port: this.localPort };
  }

  cork(): void {}
  uncork(): void {}
  setTimeout(_ms: number, _listener?: () => void): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  pause(): this {
    return this;
  }
  resume(): this {
    return this;
  }

  /** Nothing can be written past the response. */
  write(): boolean {
    return true;
  }

  end(): this {
    return this;
  }

  destroySoon(): void {
    this.destroy();
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this;
    this.shut();
    this.onDestroy?.(error);
    return this;
  }

  /** The connection is gone: says so to whoever listens. */
  shut(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.readable = false;
    this.writable = false;
    process.nextTick(() => this.emit('close', false));
  }
}
