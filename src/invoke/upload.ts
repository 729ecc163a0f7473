/** Passes body bytes from a caller to a sandbox under the sandbox's credit: what there is no credit for stays in the kernel. */
import type { Readable } from 'node:stream';
import type { Invocation } from '../sandboxes/sandboxes.ts';

export interface UploadOwner {
  /** @param isSubstantial enough came since the last time that nobody can call it a trickle */
  onUploadProgress(isSubstantial: boolean): void;
  /** The limit is exceeded; nothing more is passed on. */
  onUploadTooLarge(): void;
}

export interface UploadOptions {
  readonly source: Readable;
  readonly invocation: Invocation;
  readonly owner: UploadOwner;
  /** that the caller declared; -1: unknown */
  readonly declaredBytes: number;
  readonly maxBytes: number;
}

/** Less than this within a deadline is a caller that only wants to hold a place. */
export const SUBSTANTIAL_BYTES = 4 * 1024;
const NOTHING = Buffer.alloc(0);

export class Upload {
  readonly #source: Readable;
  readonly #invocation: Invocation;
  readonly #owner: UploadOwner;
  readonly #declaredBytes: number;
  readonly #maxBytes: number;
  #rest: Buffer | null = null;
  #isRestLast = false;
  #sinceProgress = 0;
  #isStopped = false;
  bytes = 0;
  /** All has been read from the caller. */
  isComplete = false;
  /** The sandbox does not take more at present: the caller is not to blame for the silence. */
  isBlocked = false;

  constructor({ source, invocation, owner, declaredBytes, maxBytes }: UploadOptions) {
    this.#source = source;
    this.#invocation = invocation;
    this.#owner = owner;
    this.#declaredBytes = declaredBytes;
    this.#maxBytes = maxBytes;
  }

  start(): void {
    this.#source.on('data', this.#onData);
    this.#source.on('end', this.#onEnd);
  }

  /** Credit has come back. */
  resume(): void {
    if (this.#isStopped) return;
    const rest = this.#rest;
    this.#rest = null;
    this.isBlocked = false;
    if (rest !== null) this.#pass(rest, this.#isRestLast);
    if (!this.isBlocked) this.#source.resume();
  }

  /** Leaves the source where it is. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#rest = null;
    this.#source.off('data', this.#onData);
    this.#source.off('end', this.#onEnd);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.bytes += chunk.length;
    if (this.bytes > this.#maxBytes) {
      this.stop();
      return this.#owner.onUploadTooLarge();
    }
    const isLast = this.bytes === this.#declaredBytes;
    if (isLast) this.isComplete = true;
    this.#noteProgress(chunk.length);
    this.#pass(chunk, isLast);
  };

  readonly #onEnd = (): void => {
    if (this.isComplete) return;
    this.isComplete = true;
    this.#owner.onUploadProgress(true);
    if (this.#rest === null) this.#invocation.write(NOTHING, true);
    else this.#isRestLast = true;
  };

  #noteProgress(bytes: number): void {
    this.#sinceProgress += bytes;
    const isSubstantial = this.isComplete || this.#sinceProgress >= SUBSTANTIAL_BYTES;
    if (isSubstantial) this.#sinceProgress = 0;
    this.#owner.onUploadProgress(isSubstantial);
  }

  #pass(chunk: Buffer, isLast: boolean): void {
    if (this.#rest !== null) {
      // A source may have one more piece on its way when it is paused.
      this.#rest = Buffer.concat([this.#rest, chunk]);
      this.#isRestLast = isLast;
      return;
    }
    const room = this.#invocation.writableBytes;
    if (chunk.length <= room) {
      if (!this.#invocation.write(chunk, isLast) && !isLast) this.#block();
      return;
    }
    if (room > 0) this.#invocation.write(chunk.subarray(0, room), false);
    this.#rest = chunk.subarray(room);
    this.#isRestLast = isLast;
    this.#block();
  }

  #block(): void {
    this.isBlocked = true;
    this.#source.pause();
  }
}
