/** The host's view of one invocation on a channel: credit both ways, and the order in which a sandbox may speak. */
import { BerthError } from '../../contracts/errors.ts';
import {
  CancelReason,
  FrameFlag,
  FrameType,
  INITIAL_WINDOW_BYTES,
  LEAST_GRANT_BYTES,
  MAX_DATA_BYTES,
  type ResponseHead,
} from '../../contracts/frames.ts';
import { MalformedFrame } from '../../kernel/frame-heads.ts';
import type { FrameWriter } from '../../kernel/frame-writer.ts';
import { SMALL_PIECE_BYTES, SmallPieces } from '../../kernel/small-pieces.ts';
import type { Invocation, InvocationEvents } from '../sandboxes.ts';

const WINDOW_PAYLOAD_BYTES = 4;
const reasonCodes = {
  'client-gone': CancelReason.ClientGone,
  timeout: CancelReason.Timeout,
  shutdown: CancelReason.Shutdown,
} as const;

export class HostInvocation implements Invocation {
  readonly id: string;
  readonly hops: number;
  readonly #stream: number;
  readonly #writer: FrameWriter;
  readonly #events: InvocationEvents;
  #sendCredit = INITIAL_WINDOW_BYTES;
  #receiveCredit = INITIAL_WINDOW_BYTES;
  #consumed = 0;
  /** Told, and not passed on yet. */
  #waiting = 0;
  #small: SmallPieces | null = null;
  #isStarved = false;
  #isRequestEnded: boolean;
  #hasResponse = false;
  #isResponseEnded = false;
  #isCancelled = false;
  #isOver = false;

  constructor(options: {
    id: string;
    stream: number;
    writer: FrameWriter;
    events: InvocationEvents;
    sentBytes: number;
    isRequestEnded: boolean;
    hops: number;
  }) {
    this.id = options.id;
    this.hops = options.hops;
    this.#stream = options.stream;
    this.#writer = options.writer;
    this.#events = options.events;
    this.#sendCredit -= options.sentBytes;
    this.#isRequestEnded = options.isRequestEnded;
  }

  get writableBytes(): number {
    return this.#sendCredit;
  }

  get isResponseBegun(): boolean {
    return this.#hasResponse;
  }

  write(chunk: Buffer, isEnd: boolean): boolean {
    if (chunk.length > this.#sendCredit) throw new RangeError('more bytes than there is credit for');
    if (this.#isOver || this.#isCancelled || this.#isRequestEnded) return true;
    this.#sendCredit -= chunk.length;
    this.#isRequestEnded = isEnd;
    let at = 0;
    for (; chunk.length - at > MAX_DATA_BYTES; at += MAX_DATA_BYTES)
      this.#send(chunk.subarray(at, at + MAX_DATA_BYTES), 0);
    if (at < chunk.length || isEnd) this.#send(chunk.subarray(at), isEnd ? FrameFlag.End : 0);
    this.#isStarved = this.#sendCredit === 0;
    return !this.#isStarved;
  }

  consumed(bytes: number): void {
    this.#waiting -= bytes;
    this.#consumed += bytes;
    this.#grant();
    if (this.#waiting === 0) this.#tellSmall();
  }

  #grant(): void {
    if (this.#consumed < LEAST_GRANT_BYTES || this.#isResponseEnded || this.#isOver || this.#isCancelled)
      return;
    const grant = Buffer.allocUnsafe(WINDOW_PAYLOAD_BYTES);
    grant.writeUInt32LE(this.#consumed);
    this.#receiveCredit += this.#consumed;
    this.#consumed = 0;
    this.#writer.send(FrameType.Window, 0, this.#stream, grant);
  }

  cancel(reason: keyof typeof reasonCodes): void {
    if (this.#isOver || this.#isCancelled) return;
    this.#isCancelled = true;
    this.#writer.send(FrameType.Cancel, 0, this.#stream, Buffer.of(reasonCodes[reason]));
  }

  // --- what the sandbox says; each throws MalformedFrame when it is out of order

  responded(head: ResponseHead, body: Buffer, isEnd: boolean): void {
    if (this.#hasResponse) throw new MalformedFrame('a second response');
    this.#hasResponse = true;
    this.#isResponseEnded = isEnd;
    this.#take(body.length);
    if (this.#isCancelled) return;
    this.#waiting += body.length;
    this.#events.onResponse(head, body, isEnd);
  }

  received(chunk: Buffer, isEnd: boolean): void {
    if (!this.#hasResponse || this.#isResponseEnded) throw new MalformedFrame('body bytes out of order');
    if (chunk.length === 0 && !isEnd) throw new MalformedFrame('an empty piece of body');
    this.#isResponseEnded = isEnd;
    this.#take(chunk.length);
    if (this.#isCancelled) return;
    if (this.#waiting > 0 && chunk.length < SMALL_PIECE_BYTES && !isEnd)
      return (this.#small ??= new SmallPieces()).add(chunk);
    this.#tellSmall();
    this.#tell(chunk, isEnd);
  }

  #tell(chunk: Buffer, isEnd: boolean): void {
    this.#waiting += chunk.length;
    this.#events.onData(chunk, isEnd);
  }

  /** What came while others waited. */
  #tellSmall(): void {
    const gathered = this.#small?.take();
    if (gathered && !this.#isCancelled && !this.#isOver) this.#tell(gathered, false);
  }

  granted(payload: Buffer): void {
    if (payload.length !== WINDOW_PAYLOAD_BYTES) throw new MalformedFrame('a window of the wrong size');
    const bytes = payload.readUInt32LE(0);
    if (bytes < LEAST_GRANT_BYTES) throw new MalformedFrame('less credit than may be granted at once');
    if (this.#sendCredit + bytes > INITIAL_WINDOW_BYTES)
      throw new MalformedFrame('credit for bytes that were not sent');
    this.#sendCredit += bytes;
    if (!this.#isStarved) return;
    this.#isStarved = false;
    if (!this.#isCancelled && !this.#isRequestEnded) this.#events.onWritable();
  }

  /** The sandbox says that it is over. One that ends without a whole response has failed. */
  done(): void {
    if (this.#isCancelled || this.#isResponseEnded) this.#over(null);
    else this.#over(new BerthError('FUNCTION_FAILED', { reason: 'it ended without a whole response' }));
  }

  failed(error: BerthError): void {
    this.#tellSmall();
    this.#over(this.#isCancelled ? null : error);
  }

  #over(error: BerthError | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (error === null) this.#events.onDone();
    else this.#events.onFailed(error);
  }

  #take(bytes: number): void {
    if (bytes > MAX_DATA_BYTES || bytes > this.#receiveCredit)
      throw new MalformedFrame('more body bytes than there is credit for');
    this.#receiveCredit -= bytes;
  }

  #send(chunk: Buffer, flags: number): void {
    this.#writer.send(FrameType.Data, flags, this.#stream, chunk);
  }
}
