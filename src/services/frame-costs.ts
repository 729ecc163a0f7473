/** What frames of HTTP/2 (RFC 9113, 4.1) cost whom they are sent to, told from their heads alone, in whatever pieces they come. */

const HEAD_BYTES = 9;
const TYPE_AT = 3;
const DATA = 0;
const WINDOW_UPDATE = 8;
/** Is answered, or told to our code. */
const COSTLY = 10;

export class FrameCosts {
  readonly #head = Buffer.alloc(HEAD_BYTES);
  #headBytes = 0;
  #payloadLeft = 0;

  /** @returns the cost of all frames that begin in it: 1 for data and credit, more for each of another type */
  of(chunk: Buffer): number {
    let cost = 0;
    for (let at = 0; at < chunk.length;) {
      if (this.#payloadLeft > 0) {
        const skipped = Math.min(this.#payloadLeft, chunk.length - at);
        this.#payloadLeft -= skipped;
        at += skipped;
        continue;
      }
      const copied = chunk.copy(this.#head, this.#headBytes, at, at + HEAD_BYTES - this.#headBytes);
      this.#headBytes += copied;
      at += copied;
      if (this.#headBytes < HEAD_BYTES) break;
      this.#headBytes = 0;
      this.#payloadLeft = this.#head.readUIntBE(0, TYPE_AT);
      const type = this.#head[TYPE_AT]!;
      cost += type === DATA || type === WINDOW_UPDATE ? 1 : COSTLY;
    }
    return cost;
  }
}
