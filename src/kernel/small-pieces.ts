/**
 * Pieces of a stream that are too small to wait one by one: each would cost some 250 bytes of memory and a system call, whatever
 * it carries. Where something before them still waits to be taken, they are gathered here and go on as one.
 */

/** Below this a piece is small: what is larger is kept few by the credit of its stream. */
export const SMALL_PIECE_BYTES = 1024;
const LEAST_BYTES = 4 * 1024;

export class SmallPieces {
  #memory = Buffer.alloc(0);
  #length = 0;

  /** Copies it. How much there may be is the caller's credit. */
  add(piece: Uint8Array): void {
    const length = this.#length + piece.length;
    if (length > this.#memory.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(LEAST_BYTES, 2 * length));
      grown.set(this.#memory.subarray(0, this.#length));
      this.#memory = grown;
    }
    this.#memory.set(piece, this.#length);
    this.#length = length;
  }

  /** @returns all of them as one piece, which is the caller's own; null when there are none */
  take(): Buffer | null {
    if (this.#length === 0) return null;
    const whole = this.#memory.subarray(0, this.#length);
    this.#memory = Buffer.alloc(0);
    this.#length = 0;
    return whole;
  }
}
