/** Collects the frames of one turn of the event loop and writes many at once: one system call for many invocations. */
import { FRAME_HEADER_BYTES, FrameType } from '../contracts/frames.ts';
import { releaseLast } from './spent-memory.ts';

const BATCH_BYTES = 64 * 1024;
/** Payloads from this size on are passed on as they are; smaller ones are cheaper to copy. */
const COPY_BELOW_BYTES = 8 * 1024;
/** So many small frames leave before the turn ends: the other side works on them while this one makes the next. */
const BATCH_FRAMES = 16;
const NOTHING = Buffer.alloc(0);

export interface FrameSink {
  /** @param onWritten called when the bytes are needed no more, or with the error that kept them from being written */
  write(bytes: Uint8Array, onWritten?: (error?: Error | null) => void): unknown;
  cork(): void;
  uncork(): void;
}

export interface FrameWriterOptions {
  /** Body bytes that are sent belong to the writer, which releases their memory once they are written. */
  readonly ownsData?: boolean;
}

export class FrameWriter {
  readonly #sink: FrameSink;
  readonly #ownsData: boolean;
  #batch = Buffer.allocUnsafe(BATCH_BYTES);
  #start = 0;
  #end = 0;
  /** In the batch, not written yet. */
  #frames = 0;
  #scheduled = false;
  #corked = false;
  #isClosed = false;

  constructor(sink: FrameSink, { ownsData = false }: FrameWriterOptions = {}) {
    this.#sink = sink;
    this.#ownsData = ownsData;
  }

  /** Queues one frame; it leaves by the end of this turn of the event loop. `payload` must not change until then. */
  send(type: FrameType, flags: number, stream: number, payload: Uint8Array = NOTHING): void {
    if (this.#isClosed) return;
    const isCopied = payload.length < COPY_BELOW_BYTES;
    this.#reserve(FRAME_HEADER_BYTES + (isCopied ? payload.length : 0));
    const batch = this.#batch;
    let at = batch.writeUInt32LE(payload.length, this.#end);
    batch[at++] = type;
    batch[at++] = flags;
    at = batch.writeUInt32LE(stream, at);
    if (isCopied) batch.set(payload, at);
    this.#end = isCopied ? at + payload.length : at;
    if (!isCopied) this.#pass(payload, type);
    else if (++this.#frames >= BATCH_FRAMES) this.#drainBatch();
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(this.#flushLater);
    }
  }

  /** Writes what is queued now. */
  flush(): void {
    this.#scheduled = false;
    if (this.#isClosed) return;
    this.#drainBatch();
    if (this.#corked) {
      this.#corked = false;
      this.#sink.uncork();
    }
  }

  /** Drops what is queued and ignores what follows. */
  close(): void {
    this.#isClosed = true;
  }

  readonly #flushLater = (): void => this.flush();

  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#batch.length) return;
    this.#corkOnce();
    this.#drainBatch();
    this.#batch = Buffer.allocUnsafe(BATCH_BYTES);
    this.#start = 0;
    this.#end = 0;
  }

  #pass(payload: Uint8Array, type: FrameType): void {
    this.#corkOnce();
    this.#drainBatch();
    const isBody = type === FrameType.Data || type === FrameType.EgressData;
    if (!this.#ownsData || !isBody) return void this.#sink.write(payload);
    this.#sink.write(payload, (error) => {
      if (!error) releaseLast(payload);
    });
  }

  #corkOnce(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#sink.cork();
  }

  /** Written bytes belong to the sink from here on, so the batch goes on behind them. */
  #drainBatch(): void {
    if (this.#end === this.#start) return;
    this.#sink.write(this.#batch.subarray(this.#start, this.#end));
    this.#start = this.#end;
    this.#frames = 0;
  }
}
