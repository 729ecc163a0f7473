/**
 * The socket of an HTTP upgrade. The app writes its answer to it as text (`HTTP/1.1 101 …`): that becomes the response
 * frame. From then on bytes pass both ways as they are.
 */
import { Duplex } from 'node:stream';
import type { Exchange } from '../exchange.ts';
import { ResponseInvalid } from '../response-writer.ts';
import { isConnectionHeader } from './header-names.ts';

const HEAD_END = '\r\n\r\n';
const STATUS_LINE = /^HTTP\/1\.[01] (\d{3})(?: .*)?$/;
const SWITCHING_PROTOCOLS = 101;

type Done = (error?: Error | null) => void;

export class UpgradeSocket extends Duplex {
  readonly #exchange: Exchange;
  #head: Buffer | null = Buffer.alloc(0);
  #waiting: Done | null = null;
  #isReadEnded = false;

  constructor(exchange: Exchange) {
    super({ allowHalfOpen: true, decodeStrings: true });
    this.#exchange = exchange;
    exchange.onAbort = () => this.destroy();
    exchange.response.onDrain = () => this.#resumeWrite();
    exchange.response.onSent = () => this._read();
  }

  get remoteAddress(): string {
    return this.#exchange.head.remoteAddress;
  }

  get encrypted(): boolean {
    return this.#exchange.head.scheme === 'https';
  }

  setTimeout(): this {
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

  /**
   * Once the answer has been sent the invocation is over and nothing more arrives, so the socket's reading side ends
   * then too: without it `close` would never come, and `ws` would keep the client for 30 s more.
   */
  override _read(): void {
    if (this.#isReadEnded) return;
    const { body, response } = this.#exchange;
    let chunk: Buffer | null;
    while ((chunk = body.take()) !== null) {
      if (!this.push(chunk)) return;
    }
    if (body.isFinished || response.isSent) this.#endRead();
    else body.onReadable = () => this._read();
  }

  override _write(chunk: Buffer, _encoding: string, done: Done): void {
    try {
      const rest = this.#head === null ? chunk : this.#takeHead(Buffer.concat([this.#head, chunk]));
      // The channel keeps what it is given until the turn ends; whoever wrote it may reuse it after `done`.
      if (rest.length === 0 || this.#exchange.response.write(Buffer.from(rest))) done();
      else this.#waiting = done;
    } catch (error) {
      done(error as Error);
    }
  }

  override _final(done: Done): void {
    this.#exchange.response.end();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    const { response } = this.#exchange;
    if (error !== null && !response.hasBegun) this.#exchange.fail(error);
    else if (!response.hasBegun)
      this.#exchange.fail(new Error('The function closed the connection of the upgrade.'));
    else response.end();
    done(error);
  }

  #endRead(): void {
    if (this.#isReadEnded) return; // by what a reader did with the last chunk
    this.#isReadEnded = true;
    this.#exchange.body.onReadable = null;
    this.push(null);
  }

  #resumeWrite(): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.();
  }

  /** Sends the head once it is whole. @returns the bytes behind it */
  #takeHead(bytes: Buffer): Buffer {
    const end = bytes.indexOf(HEAD_END, 0, 'latin1');
    if (end === -1) {
      if (bytes.length > this.#exchange.responseHeaderBytes)
        throw new ResponseInvalid('its headers are larger than the limit responseHeaderBytes');
      this.#head = bytes;
      return Buffer.alloc(0);
    }
    this.#head = null;
    const { status, headers } = parseHead(bytes.toString('latin1', 0, end));
    this.#exchange.response.begin(status, headers);
    this.#exchange.response.release();
    return bytes.subarray(end + HEAD_END.length);
  }
}

/** @throws ResponseInvalid */
function parseHead(text: string): { status: number; headers: string[] } {
  const [first = '', ...lines] = text.split('\r\n');
  const status = Number(STATUS_LINE.exec(first)?.[1]);
  if (Number.isNaN(status))
    throw new ResponseInvalid('it answered an upgrade with something that is not HTTP/1.1');
  const headers: string[] = [];
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon <= 0) throw new ResponseInvalid('a header has no name');
    const name = line.slice(0, colon).trim();
    // `connection: upgrade` belongs to the switch; the other connection headers end here.
    const isKept =
      !isConnectionHeader(name) || (status === SWITCHING_PROTOCOLS && /^connection$/i.test(name));
    if (isKept) headers.push(name, line.slice(colon + 1).trim());
  }
  return { status, headers };
}
