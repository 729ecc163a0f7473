/** One place in a sandbox, and the invocation that uses it. One object stands between caller and channel, to count. */
import { BerthError, toBerthError } from '../contracts/errors.ts';
import type { ResponseHead } from '../contracts/frames.ts';
import type { Channel, InvocationRequest } from './channel/channel.ts';
import type { Invocation, InvocationEvents, Lease } from './sandboxes.ts';

/** The sandbox as its leases see it. */
export interface LeaseHolder {
  /** null once the sandbox is gone */
  readonly openChannel: Channel | null;
  /** Why the sandbox is gone. */
  readonly endError: BerthError;
  leaseEnded(lease: SandboxLease, wasCancelled: boolean): void;
  /** The caller has left: the place is free, the invocation lives until the runtime says Done. */
  leaseCancelled(lease: SandboxLease): void;
}

type Phase = 'held' | 'running' | 'cancelled' | 'over';

export class SandboxLease implements Lease, Invocation, InvocationEvents {
  readonly #holder: LeaseHolder;
  #phase: Phase = 'held';
  #events: InvocationEvents | null = null;
  #invocation: Invocation | null = null;
  /** When it was cancelled; set by the holder. */
  cancelledAt = 0;

  constructor(holder: LeaseHolder) {
    this.#holder = holder;
  }

  invoke(request: InvocationRequest, events: InvocationEvents): Invocation {
    if (this.#phase !== 'held') throw new Error('a lease is for one invocation');
    this.#phase = 'running';
    this.#events = events;
    const channel = this.#holder.openChannel;
    if (channel === null) this.#failSoon(this.#holder.endError);
    else this.#open(channel, request);
    return this;
  }

  release(): void {
    if (this.#phase === 'held') this.#end();
  }

  // --- what the caller does with the invocation

  get writableBytes(): number {
    return this.#invocation?.writableBytes ?? 0;
  }

  write(chunk: Buffer, isEnd: boolean): boolean {
    return this.#invocation?.write(chunk, isEnd) ?? false;
  }

  consumed(bytes: number): void {
    this.#invocation?.consumed(bytes);
  }

  cancel(reason: 'client-gone' | 'timeout' | 'shutdown'): void {
    if (this.#phase !== 'running') return;
    this.#phase = 'cancelled';
    this.#invocation?.cancel(reason);
    this.#holder.leaseCancelled(this);
  }

  // --- what the sandbox says

  onResponse(head: ResponseHead, body: Buffer, isEnd: boolean): void {
    if (this.#phase === 'running') this.#events?.onResponse(head, body, isEnd);
  }

  onData(chunk: Buffer, isEnd: boolean): void {
    if (this.#phase === 'running') this.#events?.onData(chunk, isEnd);
  }

  onWritable(): void {
    if (this.#phase === 'running') this.#events?.onWritable();
  }

  onDone(): void {
    if (this.#phase === 'over') return;
    this.#end();
    this.#events?.onDone();
  }

  onFailed(error: BerthError): void {
    if (this.#phase === 'over') return;
    const wasCancelled = this.#phase === 'cancelled';
    this.#end();
    if (wasCancelled) this.#events?.onDone();
    else this.#events?.onFailed(error);
  }

  #open(channel: Channel, request: InvocationRequest): void {
    try {
      this.#invocation = channel.open(request, this);
    } catch (error) {
      this.#failSoon(toBerthError(error));
    }
  }

  /** Not at once: the caller does not have the invocation yet. */
  #failSoon(error: BerthError): void {
    queueMicrotask(() => this.onFailed(error));
  }

  #end(): void {
    const wasCancelled = this.#phase === 'cancelled';
    this.#phase = 'over';
    this.#holder.leaseEnded(this, wasCancelled);
  }
}
