/**
 * A keeper's connection, read no faster than its frames may cost: Node parses HTTP/2 as fast as it is written to, and one who
 * writes frames of nothing would have the server's thread for itself. Who sends too much is not read for as long as it owes.
 */
import { Duplex } from 'node:stream';
import type { Clock } from '../kernel/clock.ts';
import { FrameCosts } from './frame-costs.ts';

/**
 * Of `FrameCosts`, each second: a few hundredths of one CPU, and more than a database sends that is used to the full
 * (16 KiB in a frame, or an answer in each).
 */
export const FRAMES_PER_SECOND = 50_000;
const SECOND_MS = 1_000;

export interface PacedConnectionOptions {
  /** Belongs to this connection from now on. */
  readonly socket: Duplex;
  readonly clock: Pick<Clock, 'monotonic' | 'after'>;
  /** It is not read for a while. */
  readonly onPause: () => void;
}

export class PacedConnection extends Duplex {
  readonly #options: PacedConnectionOptions;
  readonly #costs = new FrameCosts();
  /** May be spent at once; below zero it is owed. */
  #available = FRAMES_PER_SECOND;
  #refilledAt: number;
  #cancelResume: (() => void) | null = null;

  constructor(options: PacedConnectionOptions) {
    super({ allowHalfOpen: false });
    this.#options = options;
    this.#refilledAt = options.clock.monotonic();
    const { socket } = options;
    socket.on('data', (chunk: Buffer) => this.#onBytes(chunk));
    socket.once('end', () => this.push(null));
    socket.once('error', (error) => this.destroy(error));
    // What came before its end is still read.
    socket.once('close', () => void (socket.readableEnded || this.destroy()));
  }

  override _read(): void {
    if (this.#cancelResume === null) this.#options.socket.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#options.socket.write(chunk, encoding, done);
  }

  override _writev(
    pieces: readonly { readonly chunk: Buffer; readonly encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    const { socket } = this.#options;
    socket.cork();
    for (const [at, { chunk, encoding }] of pieces.entries())
      if (at === pieces.length - 1) socket.write(chunk, encoding, done);
      else socket.write(chunk, encoding);
    socket.uncork();
  }

  override _final(done: () => void): void {
    const { socket } = this.#options;
    if (socket.destroyed || socket.writableEnded) done();
    else socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#cancelResume?.();
    this.#options.socket.destroy();
    done(error);
  }

  #onBytes(chunk: Buffer): void {
    const { socket } = this.#options;
    this.#refill();
    this.#available -= this.#costs.of(chunk);
    if (this.#available < 0) this.#pause();
    if (!this.push(chunk)) socket.pause();
  }

  #refill(): void {
    const now = this.#options.clock.monotonic();
    const gained = ((now - this.#refilledAt) / SECOND_MS) * FRAMES_PER_SECOND;
    this.#available = Math.min(FRAMES_PER_SECOND, this.#available + gained);
    this.#refilledAt = now;
  }

  #pause(): void {
    const { socket, clock, onPause } = this.#options;
    socket.pause();
    // No chunk is longer than a read, so what it owes is a matter of seconds.
    const owedMs = (-this.#available / FRAMES_PER_SECOND) * SECOND_MS;
    this.#cancelResume?.();
    this.#cancelResume = clock.after(owedMs, () => {
      this.#cancelResume = null;
      socket.resume();
    });
    onPause();
  }
}
