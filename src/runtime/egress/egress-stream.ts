/** One connection of egress in the sandbox: credit both ways, half-close, and its end. */
import {
  EGRESS_WINDOW_BYTES,
  type EgressFailure,
  type EgressPeer,
  FrameFlag,
  FrameType,
  LEAST_EGRESS_GRANT_BYTES,
  MAX_DATA_BYTES,
} from '../../contracts/frames.ts';
import type { SendFrame } from './egress-port.ts';

export interface EgressStreamEvents {
  onOpened(peer: EgressPeer): void;
  /** `chunk` is good until this returns. */
  onData(chunk: Uint8Array): void;
  /** The other side sends no more. */
  onEnd(): void;
  /** All that was written is on its way. */
  onWritten(): void;
  /** There is no connection, or none any more. Nothing follows. */
  onFailed(failure: EgressFailure): void;
}

export interface EgressStreamOptions {
  readonly number: number;
  readonly send: SendFrame;
  readonly events: EgressStreamEvents;
  /** Its last frame was sent. */
  readonly onOver: () => void;
}

const WINDOW_BYTES = 4;
const NOTHING = Buffer.alloc(0);

export class EgressStream {
  readonly #options: EgressStreamOptions;
  #sendCredit = EGRESS_WINDOW_BYTES;
  #taken = 0;
  #outgoing: Uint8Array[] = [];
  #incoming: Uint8Array[] = [];
  #isReading = false;
  #isEnding = false;
  #hasEnded = false;
  #hasRemoteEnded = false;
  #isOver = false;

  constructor(options: EgressStreamOptions) {
    this.#options = options;
  }

  /** Queues bytes, which must not change until `onWritten`. After `end` and `close` they are dropped: TLS says goodbye late. */
  write(chunks: readonly Uint8Array[]): void {
    if (this.#isOver) return;
    if (this.#isEnding) return this.#options.events.onWritten();
    for (const chunk of chunks) if (chunk.length > 0) this.#outgoing[this.#outgoing.length] = chunk;
    this.#flush();
  }

  /** Sends no more after what is queued. */
  end(): void {
    this.#isEnding = true;
    if (!this.#isOver) this.#flush();
  }

  resume(): void {
    this.#isReading = true;
    this.#deliver();
  }

  pause(): void {
    this.#isReading = false;
  }

  /** Done with it: no event follows. */
  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#outgoing = [];
    this.#incoming = [];
    this.#options.send(FrameType.EgressClose, 0, this.#options.number);
    this.#options.onOver();
  }

  // --- what the host says

  opened(peer: EgressPeer): void {
    this.#options.events.onOpened(peer);
  }

  /** `chunk` may be used anew afterwards. */
  received(chunk: Buffer, isEnd: boolean): void {
    this.#hasRemoteEnded ||= isEnd;
    if (this.#isReading && this.#incoming.length === 0) {
      if (chunk.length > 0) this.#take(chunk);
    } else if (chunk.length > 0) this.#incoming[this.#incoming.length] = Buffer.from(chunk);
    this.#deliver();
  }

  granted(bytes: number): void {
    this.#sendCredit += bytes;
    this.#flush();
  }

  refused(failure: EgressFailure): void {
    if (this.#isOver) return;
    this.close();
    this.#options.events.onFailed(failure);
  }

  #deliver(): void {
    while (this.#isReading && this.#incoming.length > 0) this.#take(this.#incoming.shift()!);
    if (this.#isOver || !this.#isReading || !this.#hasRemoteEnded || this.#incoming.length > 0) return;
    this.#isReading = false;
    this.#options.events.onEnd();
  }

  /** Who takes it may pause the stream meanwhile, or close it. */
  #take(chunk: Uint8Array): void {
    this.#options.events.onData(chunk);
    this.#grant(chunk.length);
  }

  #grant(bytes: number): void {
    this.#taken += bytes;
    if (this.#taken < LEAST_EGRESS_GRANT_BYTES || this.#hasRemoteEnded || this.#isOver) return;
    const payload = Buffer.allocUnsafe(WINDOW_BYTES);
    payload.writeUInt32LE(this.#taken);
    this.#taken = 0;
    this.#options.send(FrameType.EgressWindow, 0, this.#options.number, payload);
  }

  #flush(): void {
    const { send, number, events } = this.#options;
    const hadBytes = this.#outgoing.length > 0;
    while (this.#sendCredit > 0 && this.#outgoing.length > 0) {
      const chunk = this.#outgoing[0]!;
      const size = Math.min(chunk.length, this.#sendCredit, MAX_DATA_BYTES);
      this.#sendCredit -= size;
      if (size === chunk.length) this.#outgoing.shift();
      else this.#outgoing[0] = chunk.subarray(size);
      send(FrameType.EgressData, 0, number, chunk.subarray(0, size));
    }
    if (this.#outgoing.length > 0) return;
    if (this.#isEnding && !this.#hasEnded) {
      this.#hasEnded = true;
      send(FrameType.EgressData, FrameFlag.End, number, NOTHING);
    }
    if (hadBytes) events.onWritten();
  }
}
