/** An invocation that began as an HTTP upgrade: after the function's 101 the bytes pass both ways (WebSocket, RFC 6455). */
import { ServerResponse } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { BerthError } from '../contracts/errors.ts';
import type { ExchangeParts } from './exchange.ts';
import { HttpExchange } from './http-exchange.ts';
import type { CheckedHead } from './response-head.ts';
import { Upload } from './upload.ts';
import { writeOut } from './write-out.ts';

export interface UpgradeParts extends Omit<ExchangeParts, 'response'> {
  readonly socket: Duplex;
  /** What came behind the request's head already. */
  readonly head: Buffer;
}

const UNLIMITED = Number.POSITIVE_INFINITY;
const UNKNOWN_LENGTH = -1;

export class UpgradeExchange extends HttpExchange {
  override readonly isUpgrade = true;
  readonly #socket: Duplex;
  #isTunnel = false;

  constructor({ socket, head, ...parts }: UpgradeParts) {
    super({ ...parts, response: responseOn(parts.request, socket) });
    this.#socket = socket;
    if (head.length > 0) socket.unshift(head);
  }

  protected override watchClient(): void {
    this.#socket.on('close', () => this.clientClosed());
  }

  protected override switched(checked: CheckedHead, body: Buffer, isEnd: boolean): void {
    if (this.handle === null) return;
    this.begun(checked.status);
    this.#isTunnel = true;
    this.response.detachSocket(this.#socket as Socket);
    this.#socket.write(rawHead(checked.headers, this.invocation), 'latin1');
    this.#socket.on('drain', () => this.drained());
    this.upload = new Upload({
      source: this.#socket,
      invocation: this.handle,
      owner: this,
      declaredBytes: UNKNOWN_LENGTH,
      maxBytes: UNLIMITED,
    });
    this.upload.start();
    if (body.length > 0 || isEnd) this.onData(body, isEnd);
  }

  override onData(chunk: Buffer, isEnd: boolean): void {
    if (!this.#isTunnel) return super.onData(chunk, isEnd);
    if (this.phase !== 'responding') return;
    this.touch();
    this.responseBytes += chunk.length;
    if (isEnd) {
      this.phase = 'responded';
      this.#socket.end(chunk);
      return;
    }
    if (!writeOut(this.#socket, chunk, this))
      this.pace.hold(chunk.length, this.#socket instanceof Socket ? this.#socket : null);
  }

  protected override answer(error: BerthError, tellTimes: number): void {
    if (!this.#isTunnel) return super.answer(error, tellTimes);
    this.tell(error, tellTimes);
    this.#socket.destroy();
  }

  protected override hangUp(): void {
    this.#socket.destroy();
  }

  protected override finish(): void {
    super.finish();
    if (this.#isTunnel && !this.#socket.writableEnded) this.#socket.end();
    // What the caller still says interests nobody; reading it lets the connection end.
    this.#socket.resume();
  }
}

/** Node gives a bare socket with an upgrade; anything but a 101 is an ordinary response on it, the last of the connection. */
function responseOn(request: IncomingMessage, socket: Duplex): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket as Socket);
  const onDrain = (): void => void response.emit('drain');
  socket.on('drain', onDrain);
  // Resets arrive as errors; what follows from them follows from `close`.
  socket.on('error', () => socket.destroy());
  response.on('finish', () => {
    socket.off('drain', onDrain);
    response.detachSocket(socket as Socket);
    // Destroyed once it is flushed: a caller that does not end its side would hold the connection.
    socket.end(() => socket.destroy());
    socket.resume();
  });
  return response;
}

function rawHead(headers: readonly string[], invocation: string): string {
  const lines = ['HTTP/1.1 101 Switching Protocols', 'connection: Upgrade', 'upgrade: websocket'];
  for (let index = 0; index < headers.length; index += 2)
    lines.push(`${headers[index]}: ${headers[index + 1]}`);
  lines.push(`x-berth-invocation: ${invocation}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}
