/** Cuts a byte stream into frames. Holds at most one unfinished frame; refuses a length before it buffers anything. */
import { FRAME_HEADER_BYTES } from '../contracts/frames.ts';
import { MalformedFrame } from './frame-heads.ts';

export type FrameHandler = (type: number, flags: number, stream: number, payload: Buffer) => void;

export class FrameParser {
  readonly #maxPayloadBytes: number;
  readonly #onFrame: FrameHandler;
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerFilled = 0;
  #payload: Buffer | null = null;
  #payloadFilled = 0;

  constructor(maxPayloadBytes: number, onFrame: FrameHandler) {
    this.#maxPayloadBytes = maxPayloadBytes;
    this.#onFrame = onFrame;
  }

  /**
   * Takes the next bytes and calls the handler for each frame that is whole. Payloads are views of `chunk` where the
   * frame lies in it whole, so the handler copies what it keeps and the caller must not reuse `chunk`.
   * @throws MalformedFrame when a length is over the limit; the parser is then unusable
   */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#payload !== null) at = this.#fillPayload(chunk, at);
      else if (this.#headerFilled === 0 && chunk.length - at >= FRAME_HEADER_BYTES)
        at = this.#readFrame(chunk, at);
      else at = this.#fillHeader(chunk, at);
    }
  }

  #readFrame(chunk: Buffer, start: number): number {
    const length = this.#lengthOf(chunk, start);
    const bodyStart = start + FRAME_HEADER_BYTES;
    if (chunk.length - bodyStart >= length) {
      this.#emit(chunk, start, chunk.subarray(bodyStart, bodyStart + length));
      return bodyStart + length;
    }
    chunk.copy(this.#header, 0, start, bodyStart);
    this.#headerFilled = FRAME_HEADER_BYTES;
    this.#payload = Buffer.allocUnsafe(length);
    this.#payloadFilled = 0;
    return bodyStart;
  }

  #fillHeader(chunk: Buffer, start: number): number {
    const taken = chunk.copy(
      this.#header,
      this.#headerFilled,
      start,
      start + FRAME_HEADER_BYTES - this.#headerFilled,
    );
    this.#headerFilled += taken;
    if (this.#headerFilled === FRAME_HEADER_BYTES) {
      const length = this.#lengthOf(this.#header, 0);
      this.#payload = Buffer.allocUnsafe(length);
      this.#payloadFilled = 0;
      if (length === 0) this.#finish();
    }
    return start + taken;
  }

  #fillPayload(chunk: Buffer, start: number): number {
    const payload = this.#payload!;
    const taken = chunk.copy(payload, this.#payloadFilled, start);
    this.#payloadFilled += taken;
    if (this.#payloadFilled === payload.length) this.#finish();
    return start + taken;
  }

  #finish(): void {
    const payload = this.#payload!;
    this.#payload = null;
    this.#headerFilled = 0;
    this.#emit(this.#header, 0, payload);
  }

  #lengthOf(source: Buffer, at: number): number {
    const length = source.readUInt32LE(at);
    if (length > this.#maxPayloadBytes) throw new MalformedFrame(`a frame of ${length} bytes is too long`);
    return length;
  }

  #emit(header: Buffer, at: number, payload: Buffer): void {
    this.#onFrame(header[at + 4]!, header[at + 5]!, header.readUInt32LE(at + 6), payload);
  }
}
