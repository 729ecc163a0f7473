/** A channel without a socket: a test plays the runtime on the other side. */
import type { BerthError } from '../../contracts/errors.ts';
import type { Channel, ChannelEvents, InvocationRequest } from '../channel/channel.ts';
import type { Invocation, InvocationEvents } from '../sandboxes.ts';
import type { OpenChannelOptions } from '../services.ts';

export class FakeInvocation implements Invocation {
  readonly request: InvocationRequest;
  readonly events: InvocationEvents;
  readonly #onEnd: () => void;
  readonly written: Buffer[] = [];
  writableBytes = 1_000;
  consumedBytes = 0;
  cancelled: string | null = null;

  constructor(request: InvocationRequest, events: InvocationEvents, onEnd: () => void) {
    this.request = request;
    this.events = events;
    this.#onEnd = onEnd;
  }

  write(chunk: Buffer): boolean {
    this.written.push(chunk);
    return true;
  }

  consumed(bytes: number): void {
    this.consumedBytes += bytes;
  }

  cancel(reason: string): void {
    this.cancelled = reason;
  }

  /** The runtime says Done. */
  done(): void {
    this.#onEnd();
    this.events.onDone();
  }

  fail(error: BerthError): void {
    this.#onEnd();
    this.events.onFailed(error);
  }
}

export class FakeChannel implements Channel {
  readonly events: ChannelEvents;
  readonly options: OpenChannelOptions;
  readonly loads: Buffer[] = [];
  readonly opened = new Set<FakeInvocation>();
  readonly pings: number[] = [];
  /** What was sent, in order. */
  readonly sent: string[] = [];
  progress = 0;
  grants = 0;
  logRate = 0;
  egressAt = 0;
  closedWith: BerthError | null = null;
  answersPings = true;
  /** The runtime has got the revision. */
  onLoad: () => void = () => undefined;

  constructor(options: OpenChannelOptions) {
    this.options = options;
    this.events = options.events;
    this.logRate = options.logBytesPerSecond;
  }

  exercise(withFetch: boolean): void {
    this.sent.push(withFetch ? 'exercise with fetch' : 'exercise');
  }

  load(payload: Buffer): void {
    this.loads.push(payload);
    this.sent.push('load');
    queueMicrotask(() => this.onLoad());
  }

  open(request: InvocationRequest, events: InvocationEvents): FakeInvocation {
    this.sent.push('request');
    const invocation = new FakeInvocation(request, events, () => {
      this.progress += 1;
      this.opened.delete(invocation);
    });
    this.opened.add(invocation);
    return invocation;
  }

  ping(nonce: number): void {
    this.pings.push(nonce);
    if (this.answersPings) queueMicrotask(() => this.events.onPong(nonce));
  }

  get moves(): number {
    return this.progress + this.grants;
  }

  get inFlight(): number {
    return this.opened.size;
  }

  setLogRate(bytesPerSecond: number): void {
    this.logRate = bytesPerSecond;
  }

  close(error: BerthError): void {
    this.closedWith ??= error;
    for (const invocation of this.opened) invocation.fail(error);
  }
}
