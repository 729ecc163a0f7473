/** The request body of one invocation: pulled by whoever reads it, and granted anew to the host as it is taken. */
import { LEAST_GRANT_BYTES } from '../contracts/frames.ts';

export class RequestBody {
  readonly #grant: (bytes: number) => void;
  #chunks: Buffer[] | null = null;
  #isEnded: boolean;
  #isBroken = false;
  #taken = 0;
  /** Set by the reader when `take` gave nothing; called when there is more, or the end. Set anew after each call. */
  onReadable: (() => void) | null = null;

  /** @param grant tells the host that this many bytes may be sent in addition */
  constructor(first: Buffer, isEnded: boolean, grant: (bytes: number) => void) {
    this.#grant = grant;
    this.#isEnded = isEnded;
    if (first.length > 0) this.#chunks = [first];
  }

  /** Everything has been received and taken. */
  get isFinished(): boolean {
    return this.#isEnded && this.#chunks === null && !this.#isBroken;
  }

  /** The rest will not come: the caller is gone. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  receive(chunk: Buffer, isEnd: boolean): void {
    if (this.#isEnded || this.#isBroken) return;
    this.#isEnded = isEnd;
    if (chunk.length > 0) {
      if (this.#chunks === null) this.#chunks = [chunk];
      else this.#chunks[this.#chunks.length] = chunk;
    }
    this.#wake();
  }

  /** What was not taken yet is nobody's any more. */
  breakOff(): void {
    if (this.isFinished || this.#isBroken) return;
    this.#isBroken = true;
    this.#chunks = null;
    this.#wake();
  }

  /** The next piece, or null when there is none at this moment: see `isFinished` and `onReadable`. */
  take(): Buffer | null {
    const chunks = this.#chunks;
    if (chunks === null) return null;
    const chunk = chunks.shift()!;
    if (chunks.length === 0) this.#chunks = null;
    if (!this.#isEnded) {
      this.#taken += chunk.length;
      if (this.#taken >= LEAST_GRANT_BYTES) {
        this.#grant(this.#taken);
        this.#taken = 0;
      }
    }
    return chunk;
  }

  #wake(): void {
    const listener = this.onReadable;
    this.onReadable = null;
    listener?.();
  }
}
