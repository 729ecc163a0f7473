/**
 * Output of a container as the engine sends it: each piece behind a header of 8 bytes, [stream, 0, 0, 0, length big-endian]
 * (Engine API, ContainerAttach). One connection carries one stream here, so that a flood on one cannot hold up the other.
 */
import { Transform, type TransformCallback } from 'node:stream';

const HEADER_BYTES = 8;

/** Takes the headers out. */
export class AttachedOutput extends Transform {
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  #bodyBytes = 0;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    for (let at = 0; at < chunk.length;) {
      if (this.#bodyBytes === 0) at += this.#takeHeader(chunk, at);
      else {
        const piece = chunk.subarray(at, at + this.#bodyBytes);
        this.#bodyBytes -= piece.length;
        at += piece.length;
        this.push(piece);
      }
    }
    done();
  }

  #takeHeader(chunk: Buffer, at: number): number {
    const copied = chunk.copy(this.#header, this.#headerBytes, at, at + HEADER_BYTES - this.#headerBytes);
    this.#headerBytes += copied;
    if (this.#headerBytes === HEADER_BYTES) {
      this.#bodyBytes = this.#header.readUInt32BE(4);
      this.#headerBytes = 0;
    }
    return copied;
  }
}
