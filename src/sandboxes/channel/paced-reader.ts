/** Reads a sandbox's channel no faster than it may be: between pauses, and bit by bit where a whole chunk would be too much. */
import type { Socket } from 'node:net';
import { releaseWhole } from '../../kernel/spent-memory.ts';

/** So much is handled before it is looked whether it was too much. */
const PIECE_BYTES = 8 * 1024;
/** The same where it has been: so the sandboxes of a tenant that floods with many of them have short turns. */
const SLICE_BYTES = 1024;
/** Its pongs do not count then, so this is for those who do not read themselves. */
const UNREAD_PAUSE_MS = 100;

export interface PacedReaderOptions {
  readonly socket: Pick<Socket, 'on' | 'pause' | 'resume'>;
  /** Never throws. The memory of `bytes` may be released when a later call begins. */
  readonly onBytes: (bytes: Buffer) => void;
  /** For how long the sandbox is not read after what came, all of it or a part: 0, it is. */
  readonly pauseMs: (isAll: boolean) => number;
  /** It does not read what it is told. */
  readonly isUnread: () => boolean;
  /** Whether there was too much already. */
  readonly isFlooded: () => boolean;
}

export class PacedReader {
  readonly #options: PacedReaderOptions;
  /** As it was read, and how much of it has been handled. */
  #chunk: Buffer | null = null;
  #at = 0;
  #timer: NodeJS.Timeout | null = null;
  #isPaused = false;
  #isClosed = false;

  constructor(options: PacedReaderOptions) {
    this.#options = options;
    options.socket.on('data', (chunk: Buffer) => {
      this.#chunk = chunk;
      this.#at = 0;
      this.#go();
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#chunk = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #go(): void {
    const { socket, isUnread, pauseMs } = this.#options;
    while (this.#chunk !== null) {
      this.#handle(this.#chunk);
      if (this.#isClosed) return;
      const ms = isUnread() ? UNREAD_PAUSE_MS : pauseMs(this.#chunk === null);
      if (ms > 0) return this.#pause(ms);
    }
    if (!this.#isPaused) return;
    this.#isPaused = false;
    socket.resume();
  }

  #handle(chunk: Buffer): void {
    const { onBytes, isFlooded } = this.#options;
    const end = Math.min(chunk.length, this.#at + (isFlooded() ? SLICE_BYTES : PIECE_BYTES));
    const bytes = chunk.subarray(this.#at, end);
    this.#at = end;
    if (end === chunk.length) this.#chunk = null;
    onBytes(bytes);
    if (this.#chunk === null && !this.#isClosed) releaseWhole(chunk);
  }

  #pause(ms: number): void {
    this.#isPaused = true;
    this.#options.socket.pause();
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#options.isUnread()) this.#pause(UNREAD_PAUSE_MS);
      else this.#go();
    }, ms);
  }
}
