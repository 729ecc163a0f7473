/** Counts what a sandbox sends that no request, no credit and no ping of the host's has asked for, until it is worth a charge. */
import { SMALL_PIECE_BYTES } from '../../kernel/small-pieces.ts';

/** So many are charged to the tenant at once: who sends fewer in a second waits for nobody else's. */
const CHARGED_FRAMES = 32;
const SECOND_MS = 1_000;
/** Large ones cost as several: they are parsed, and told. */
const BYTES_PER_FRAME = 1_024;

export class UnaskedFrames {
  #count = 0;
  #since = Number.NEGATIVE_INFINITY;

  /** Of a body or a connection, whose bytes are under credit: only how many pieces they come in is the sandbox's choice. */
  addBytes(length: number): void {
    if (length < SMALL_PIECE_BYTES) this.#count += 1;
  }

  add(length: number): void {
    this.#count += 1 + Math.floor(length / BYTES_PER_FRAME);
  }

  /** @param now milliseconds, monotonic. @returns how many to charge, 0: none yet */
  take(now: number): number {
    const count = this.#count;
    if (count === 0) return 0;
    const isCharged = count >= CHARGED_FRAMES;
    // Few in a second: they are let go.
    if (!isCharged && now - this.#since < SECOND_MS) return 0;
    this.#count = 0;
    this.#since = now;
    return isCharged ? count : 0;
  }
}
