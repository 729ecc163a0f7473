/** One invocation inside the sandbox: request, response, abort, and what the response does not wait for. */
import { FrameFlag, FrameType, type Failure, type RequestHead } from '../contracts/frames.ts';
import { failureOf } from './failure-text.ts';
import { RequestBody } from './request-body.ts';
import { ResponseInvalid, ResponseWriter, type ResponseOwner } from './response-writer.ts';

const WINDOW_BYTES = 4;

/** What an invocation needs of the channel. */
export interface ExchangeChannel {
  send(type: FrameType, flags: number, stream: number, payload?: Uint8Array): void;
  hold(exchange: Exchange): void;
  over(stream: number): void;
  /** An error that has no response to go to. */
  logError(thrown: unknown): void;
  readonly responseHeaderBytes: number;
}

export class Exchange implements ResponseOwner {
  readonly stream: number;
  readonly head: RequestHead;
  readonly isUpgrade: boolean;
  readonly body: RequestBody;
  readonly response: ResponseWriter;
  readonly #channel: ExchangeChannel;
  #waits = 0;
  #isOver = false;
  #isCancelled = false;
  #abort: AbortController | null = null;
  /** The caller is gone, or time is up. Called once. */
  onAbort: (() => void) | null = null;

  constructor(
    channel: ExchangeChannel,
    stream: number,
    request: { head: RequestHead; body: Buffer; flags: number },
  ) {
    this.#channel = channel;
    this.stream = stream;
    this.head = request.head;
    this.isUpgrade = (request.flags & FrameFlag.Upgrade) !== 0;
    this.body = new RequestBody(request.body, (request.flags & FrameFlag.End) !== 0, (bytes) =>
      this.#grant(bytes),
    );
    this.response = new ResponseWriter(this);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  /** Fires when the caller is gone or time is up. */
  get signal(): AbortSignal {
    if (this.#abort === null) {
      this.#abort = new AbortController();
      if (this.#isCancelled) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  /** The sandbox counts as busy until `work` has settled, whatever becomes of the response. */
  waitUntil(work: unknown): void {
    this.#waits++;
    void this.#await(work);
  }

  /** Sends a whole response. */
  respond(status: number, headers: readonly string[], body: Uint8Array): void {
    if (this.#isOver || this.#isCancelled) return;
    this.response.begin(status, headers);
    this.response.write(body);
    this.response.end();
  }

  /** The invocation failed: the caller gets an error, or the response that has begun is broken off. */
  fail(thrown: unknown): void {
    if (this.#isOver || this.response.isSent) this.#channel.logError(thrown);
    else if (thrown instanceof ResponseInvalid)
      this.#fail({ code: 'RESPONSE_INVALID', reason: thrown.message });
    else this.#fail(failureOf('FUNCTION_FAILED', thrown));
  }

  cancel(): void {
    if (this.#isOver || this.#isCancelled) return;
    this.#isCancelled = true;
    this.response.drop();
    try {
      this.#abort?.abort();
      this.onAbort?.();
      this.body.breakOff();
    } finally {
      this.#finish();
    }
  }

  // --- what the response asks of its owner

  get responseHeaderBytes(): number {
    return this.#channel.responseHeaderBytes;
  }

  send(type: FrameType, flags: number, payload: Uint8Array): void {
    if (!this.#isOver || (flags & FrameFlag.Done) !== 0)
      this.#channel.send(type, flags, this.stream, payload);
  }

  hold(): void {
    this.#channel.hold(this);
  }

  onLastFrame(): number {
    if (this.#waits > 0) return 0;
    this.#isOver = true;
    this.#channel.over(this.stream);
    return FrameFlag.Done;
  }

  /** `await` and not `then`: it works on a promise whatever the tenant did to `Promise.prototype`. */
  async #await(work: unknown): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#channel.logError(error);
    }
    this.#waits--;
    this.#finish();
  }

  #finish(): void {
    if (this.#isOver || this.#waits > 0 || !(this.response.isSent || this.#isCancelled)) return;
    this.#isOver = true;
    this.#channel.send(FrameType.Done, 0, this.stream);
    this.#channel.over(this.stream);
  }

  #fail(failure: Failure): void {
    this.#isOver = true;
    this.response.drop();
    this.#channel.send(FrameType.Failed, 0, this.stream, Buffer.from(JSON.stringify(failure)));
    this.#channel.over(this.stream);
  }

  #grant(bytes: number): void {
    if (this.#isOver || this.#isCancelled) return;
    const payload = Buffer.allocUnsafe(WINDOW_BYTES);
    payload.writeUInt32LE(bytes);
    this.#channel.send(FrameType.Window, 0, this.stream, payload);
  }
}
