/**
 * The response of one invocation. The head waits until the end of the turn of the event loop, so that a short response
 * is one frame; the body goes out under the credit that the host has granted.
 */
import { FrameFlag, FrameType, INITIAL_WINDOW_BYTES, MAX_DATA_BYTES } from '../contracts/frames.ts';
import { encodeResponseHead } from '../kernel/frame-heads.ts';

/** From this many queued bytes on, `write` asks its caller to wait for `onDrain`. */
export const HIGH_WATER_BYTES = 64 * 1024;
const HEAD_FIXED_BYTES = 4;
const STRING_BYTES = 4;
const SENT = new Uint8Array();
/** Slots of the queue that may lie behind before they are given up. */
const SENT_SLOTS = 64;

export class ResponseInvalid extends Error {
  override readonly name = 'ResponseInvalid';
}

export interface ResponseOwner {
  send(type: FrameType, flags: number, payload: Uint8Array): void;
  /** Calls `release` at the end of this turn of the event loop. */
  hold(): void;
  /** The frame that ends the response is about to be sent. @returns further flags for it */
  onLastFrame(): number;
  readonly responseHeaderBytes: number;
}

export class ResponseWriter {
  readonly #owner: ResponseOwner;
  #state: 'waiting' | 'held' | 'open' | 'sent' = 'waiting';
  #isEnding = false;
  #status = 0;
  #headers: readonly string[] = [];
  #queue: Uint8Array[] = [];
  #next = 0;
  #queuedBytes = 0;
  #credit = INITIAL_WINDOW_BYTES;
  #isFull = false;
  /** Room again after `write` returned false. */
  onDrain: (() => void) | null = null;
  /** The last frame has been handed to the channel. */
  onSent: (() => void) | null = null;

  constructor(owner: ResponseOwner) {
    this.#owner = owner;
  }

  get hasBegun(): boolean {
    return this.#state !== 'waiting';
  }

  get isSent(): boolean {
    return this.#state === 'sent';
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /**
   * @param headers alternating names and values, latin1
   * @throws ResponseInvalid when the status is not 100-999 or the head is larger than `responseHeaderBytes`
   */
  begin(status: number, headers: readonly string[]): void {
    if (this.#state !== 'waiting') throw new ResponseInvalid('it answered twice');
    checkHead(status, headers, this.#owner.responseHeaderBytes);
    this.#status = status;
    this.#headers = headers;
    this.#state = 'held';
    this.#owner.hold();
  }

  /** `chunk` must not be changed afterwards. @returns false when the caller should wait for `onDrain` */
  write(chunk: Uint8Array): boolean {
    if (this.#isEnding || chunk.length === 0) return true;
    this.#queue[this.#queue.length] = chunk;
    this.#queuedBytes += chunk.length;
    if (this.#state === 'open') this.#pump();
    this.#isFull = this.#queuedBytes >= HIGH_WATER_BYTES;
    return !this.#isFull;
  }

  end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    if (this.#state === 'held') this.release();
    else if (this.#state === 'open') this.#pump();
  }

  /** Sends the head with what there is of the body. */
  release(): void {
    if (this.#state !== 'held') return;
    this.#state = 'open';
    const first = this.#takeFirst();
    const payload = encodeResponseHead({ status: this.#status, headers: this.#headers }, first);
    if (this.#isEnding && this.#queuedBytes === 0) this.#sendLast(FrameType.Response, payload);
    else {
      this.#owner.send(FrameType.Response, 0, payload);
      this.#pump();
    }
  }

  granted(bytes: number): void {
    this.#credit += bytes;
    if (this.#state === 'open') this.#pump();
  }

  /** Nobody reads it any more. */
  drop(): void {
    this.#state = 'sent';
    this.#isEnding = true;
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  #takeFirst(): Uint8Array | undefined {
    const chunk = this.#queue[this.#next];
    if (chunk === undefined || chunk.length > MAX_DATA_BYTES) return undefined;
    this.#took(chunk.length);
    return chunk;
  }

  #pump(): void {
    let chunk: Uint8Array | undefined;
    while (this.#credit > 0 && (chunk = this.#queue[this.#next]) !== undefined) {
      const size = Math.min(chunk.length, this.#credit, MAX_DATA_BYTES);
      const piece = size === chunk.length ? chunk : chunk.subarray(0, size);
      if (size < chunk.length) this.#queue[this.#next] = chunk.subarray(size);
      this.#took(size, size < chunk.length);
      if (this.#isEnding && this.#queuedBytes === 0) return this.#sendLast(FrameType.Data, piece);
      this.#owner.send(FrameType.Data, 0, piece);
    }
    if (this.#isEnding && this.#queuedBytes === 0) return this.#sendLast(FrameType.Data, new Uint8Array());
    if (this.#isFull && this.#queuedBytes < HIGH_WATER_BYTES) {
      this.#isFull = false;
      this.onDrain?.();
    }
  }

  #took(bytes: number, isPartial = false): void {
    this.#credit -= bytes;
    this.#queuedBytes -= bytes;
    if (isPartial) return;
    // A reader that is always a little behind never lets the queue run empty: what was sent is let go of at once.
    this.#queue[this.#next++] = SENT;
    if (this.#queuedBytes === 0) {
      this.#queue = [];
      this.#next = 0;
    } else if (this.#next >= SENT_SLOTS && this.#next * 2 > this.#queue.length) this.#dropSlots();
  }

  /** Without methods of arrays, which tenants' code may have replaced. */
  #dropSlots(): void {
    const rest: Uint8Array[] = [];
    for (let index = this.#next; index < this.#queue.length; index++) rest[rest.length] = this.#queue[index]!;
    this.#queue = rest;
    this.#next = 0;
  }

  #sendLast(type: FrameType, payload: Uint8Array): void {
    this.#state = 'sent';
    this.#owner.send(type, FrameFlag.End | this.#owner.onLastFrame(), payload);
    this.onSent?.();
  }
}

function checkHead(status: number, headers: readonly string[], limit: number): void {
  if (!Number.isInteger(status) || status < 100 || status > 999)
    throw new ResponseInvalid(`its status is ${status}`);
  let bytes = HEAD_FIXED_BYTES;
  for (let index = 0; index < headers.length; index++) bytes += STRING_BYTES + headers[index]!.length;
  if (bytes > limit)
    throw new ResponseInvalid(`its headers are larger than the limit responseHeaderBytes (${limit})`);
}
