/**
 * Sandboxes without processes, for tests of what stands in front of them. A test's handler plays the runtime; the rules of
 * the channel (credit both ways, order, nothing after the end) are kept as `HostInvocation` keeps them, and a caller that
 * breaks one throws.
 */
import type { BerthError } from '../../contracts/errors.ts';
import { INITIAL_WINDOW_BYTES, type RequestHead, type ResponseHead } from '../../contracts/frames.ts';
import type { Invocation, InvocationEvents, Lease, Runnable, Sandboxes } from '../../sandboxes/sandboxes.ts';

export type FakeHandler = (call: FakeCall) => void;
type InvokeRequest = Parameters<Lease['invoke']>[0];

const NOTHING = Buffer.alloc(0);

export class FakeSandboxes implements Pick<Sandboxes, 'tryAcquire' | 'acquire'> {
  readonly #handler: FakeHandler;
  /** false: every call must wait for `acquire` */
  isWarm = true;
  /** what `acquire` waits for */
  acquired: () => Promise<void> = () => Promise.resolve();
  readonly calls: FakeCall[] = [];
  leases = 0;
  released = 0;
  aborted = 0;

  constructor(handler: FakeHandler) {
    this.#handler = handler;
  }

  tryAcquire(runnable: Runnable): Lease | null {
    return this.isWarm ? this.#lease(runnable) : null;
  }

  async acquire(runnable: Runnable, signal: AbortSignal): Promise<Lease> {
    signal.addEventListener('abort', () => (this.aborted += 1));
    await this.acquired();
    return this.#lease(runnable);
  }

  get running(): number {
    return this.calls.filter((call) => !call.isOver).length;
  }

  #lease(runnable: Runnable): Lease {
    this.leases += 1;
    return {
      invoke: (request, events) => {
        const call = new FakeCall(runnable, request, events);
        this.calls.push(call);
        setImmediate(() => this.#handler(call));
        return call;
      },
      release: () => (this.released += 1),
    };
  }
}

export class FakeCall implements Invocation {
  readonly runnable: Runnable;
  readonly head: RequestHead;
  readonly isUpgrade: boolean;
  readonly hops: number;
  /** of the request, that the sandbox was sent */
  receivedBytes = 0;
  readonly received: Buffer[] = [];
  isRequestEnded: boolean;
  cancelledFor: string | null = null;
  isOver = false;
  /** bytes of body that may be sent to the caller */
  credit = INITIAL_WINDOW_BYTES;
  /** Keep what arrives; off for large bodies. */
  keepsBody = true;
  /** Grant credit for what arrives as if it had been read. */
  readsBody = true;
  onBody: (chunk: Buffer, isEnd: boolean) => void = () => undefined;
  onCredit: () => void = () => undefined;
  onCancel: () => void = () => undefined;
  readonly #events: InvocationEvents;
  #writable = INITIAL_WINDOW_BYTES;
  #isStarved = false;
  #isResponseEnded = false;

  constructor(runnable: Runnable, request: InvokeRequest, events: InvocationEvents) {
    this.runnable = runnable;
    this.head = request.head;
    this.isUpgrade = request.isUpgrade;
    this.hops = request.hops ?? 0;
    this.isRequestEnded = request.isEnd;
    this.#events = events;
  }

  /** Of the request's headers, the values under this name. */
  header(name: string): string[] {
    return this.head.headers.filter(
      (_, index, all) => index % 2 === 1 && all[index - 1]!.toLowerCase() === name,
    );
  }

  // --- the host's side

  get writableBytes(): number {
    return this.#writable;
  }

  write(chunk: Buffer, isEnd: boolean): boolean {
    if (chunk.length > this.#writable) throw new RangeError('more bytes than there is credit for');
    if (this.isRequestEnded) throw new Error('bytes after the end of the request');
    this.#writable -= chunk.length;
    this.receivedBytes += chunk.length;
    this.isRequestEnded = isEnd;
    if (this.keepsBody) this.received.push(chunk);
    this.#isStarved = this.#writable === 0;
    setImmediate(() => {
      if (this.isOver || this.cancelledFor !== null) return;
      this.onBody(chunk, isEnd);
      if (this.readsBody) this.grant(chunk.length);
    });
    return !this.#isStarved;
  }

  consumed(bytes: number): void {
    this.credit += bytes;
    if (this.credit > INITIAL_WINDOW_BYTES) throw new Error('credit for bytes that were not sent');
    setImmediate(() => this.onCredit());
  }

  cancel(reason: string): void {
    if (this.isOver || this.cancelledFor !== null) return;
    this.cancelledFor = reason;
    this.onCancel();
    setImmediate(() => this.done());
  }

  // --- the runtime's side

  grant(bytes: number): void {
    this.#writable += bytes;
    if (!this.#isStarved || bytes === 0) return;
    this.#isStarved = false;
    if (!this.isOver && this.cancelledFor === null) this.#events.onWritable();
  }

  respond(head: ResponseHead, body: string | Buffer = NOTHING, isEnd = true): void {
    if (this.isOver || this.cancelledFor !== null) return;
    const bytes = this.#spend(body);
    this.#isResponseEnded = isEnd;
    this.#events.onResponse(head, bytes, isEnd);
  }

  data(body: string | Buffer, isEnd = false): void {
    if (this.isOver || this.cancelledFor !== null || this.#isResponseEnded) return;
    const bytes = this.#spend(body);
    this.#isResponseEnded = isEnd;
    // As from a channel: the receiver's own, who may release it.
    this.#events.onData(Buffer.from(bytes), isEnd);
  }

  done(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#events.onDone();
  }

  fail(error: BerthError): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#events.onFailed(error);
  }

  /** A whole response, and the end. */
  answer(body: string, headers: readonly string[] = [], status = 200): void {
    this.respond({ status, headers }, body);
    this.done();
  }

  #spend(body: string | Buffer): Buffer {
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    this.credit -= bytes.length;
    if (this.credit < 0) throw new Error('the fake runtime sent more than its credit');
    return bytes;
  }
}
