/**
 * Reads and forgets the rest of a body that nobody wants any more, within bounds, so that the caller gets to read its
 * response: a connection closed with unread bytes is reset, and the response may be lost with it (RFC 9112, 9.6).
 */
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../kernel/clock.ts';
import { declaredBodyBytes } from './request-head.ts';

export interface DrainBounds {
  /** over this the connection is closed */
  readonly maxBytes: number;
  /** every so often */
  readonly lookMs: number;
  /** at least so many must have come, or the connection is closed */
  readonly leastBytes: number;
}

/** For requests that were refused: five seconds and a megabyte, then the connection goes. */
export const refusedBounds: DrainBounds = { maxBytes: 1024 * 1024, lookMs: 5_000, leastBytes: Infinity };

/** Call it before the response is ended. Nothing happens where the body is there already. */
export function drainBody(request: IncomingMessage, clock: Clock, bounds: DrainBounds): void {
  if (declaredBodyBytes(request) === 0 || request.readableEnded || request.socket.destroyed) return;
  if (request.complete) request.resume();
  else new BodyDrain(request, clock, bounds).start();
}

class BodyDrain {
  readonly #request: IncomingMessage;
  readonly #clock: Clock;
  readonly #bounds: DrainBounds;
  #bytes = 0;
  #sinceLook = 0;
  #cancel: () => void = () => undefined;

  constructor(request: IncomingMessage, clock: Clock, bounds: DrainBounds) {
    this.#request = request;
    this.#clock = clock;
    this.#bounds = bounds;
  }

  start(): void {
    this.#request.on('data', this.#onData).on('end', this.#stop).on('close', this.#stop);
    // Once its response has left, a request does not hear any more of its connection's end.
    this.#request.socket.on('close', this.#stop);
    this.#request.resume();
    this.#arm();
  }

  #arm(): void {
    this.#cancel = this.#clock.after(this.#bounds.lookMs, this.#look);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes += chunk.length;
    this.#sinceLook += chunk.length;
    if (this.#bytes > this.#bounds.maxBytes) this.#request.socket.destroy();
  };

  readonly #look = (): void => {
    if (this.#request.complete) return;
    if (this.#sinceLook < this.#bounds.leastBytes) {
      this.#request.socket.destroy();
      return;
    }
    this.#sinceLook = 0;
    this.#arm();
  };

  readonly #stop = (): void => {
    this.#cancel();
    this.#request.socket.off('close', this.#stop);
  };
}
