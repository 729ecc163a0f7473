/** Sandboxes that run revisions: claimed from the pool, shared by concurrent invocations, replaced, reaped. */
import type { BerthError } from '../contracts/errors.ts';
import type { EgressPolicy } from '../contracts/egress.ts';
import type { RequestHead, ResponseHead } from '../contracts/frames.ts';
import type { FunctionName, RevisionId, TenantId } from '../contracts/ids.ts';
import type { Limits } from '../contracts/limits.ts';
import type { DriverFacts, SandboxKind } from '../drivers/driver.ts';

/** One revision with one set of settings, ready to be run. Objects are made by the directory, not per request. */
export interface Runnable {
  /** Equal keys mean: the same sandbox may serve both. Holds tenant, function, revision and settings version. */
  readonly key: string;
  readonly tenant: TenantId;
  readonly fn: FunctionName;
  readonly revision: RevisionId;
  /** Read anew at each use: changes of a tenant's limits take effect without a restart. */
  limits(): Limits;
  /** Where the tenant's code may connect to. Read anew at each use, as limits. */
  egress(): EgressPolicy;
  /** What it must run in; read anew, too. */
  kind(): SandboxKind;
  /** `engines.node`, where that decided its kind. */
  readonly nodeRange?: string | null;
  /** The payload of the Load frame (`encodeLoad`); called once for each sandbox that is claimed, and once more for
   *  the source map of one that blocks. */
  load(): Promise<Buffer>;
}

/** What the caller of an invocation hears. Calls come in this order: response, data…, done; or failed at any time, last. */
export interface InvocationEvents {
  /** Head and first body bytes. Heads are checked for valid HTTP before they get here. */
  onResponse(head: ResponseHead, body: Buffer, isEnd: boolean): void;
  /** Where `chunk` fills memory of its own, it is the receiver's alone, to be released. */
  onData(chunk: Buffer, isEnd: boolean): void;
  /** Credit has come back; `write` may go on. */
  onWritable(): void;
  /** Nothing follows; `waitUntil` has settled. */
  onDone(): void;
  /** Nothing follows. When the response has begun, the caller must break it off, never complete it. */
  onFailed(error: BerthError): void;
}

export interface Invocation {
  /** Bytes that may be written at this moment without going over the credit. */
  readonly writableBytes: number;
  /** Sends body bytes; their memory is the channel's from then on. Pieces of one buffer are written in their order and
   *  to the end. @returns false when no credit is left: wait for onWritable. @throws RangeError above `writableBytes` */
  write(chunk: Buffer, isEnd: boolean): boolean;
  /** The caller has passed on this many bytes of the response; the sandbox may send as many more. */
  consumed(bytes: number): void;
  /** The caller is gone, or time is up. No event follows but onDone. */
  cancel(reason: 'client-gone' | 'timeout' | 'shutdown'): void;
}

export interface Lease {
  /** Starts the invocation of this lease; once. The lease ends by itself with onDone or onFailed. */
  invoke(
    request: {
      readonly head: RequestHead;
      readonly body: Buffer;
      readonly isEnd: boolean;
      readonly isUpgrade: boolean;
      /** How often the request has passed through the gateway before; 0 when left out. */
      readonly hops?: number;
    },
    events: InvocationEvents,
  ): Invocation;
  /** Gives the place back unused. */
  release(): void;
}

export interface Sandboxes {
  /** A place in a sandbox of this runnable at once, without waiting, when one is ready with room. The warm path: no promise. */
  tryAcquire(runnable: Runnable): Lease | null;
  /** Waits for a place, starting a sandbox where the limits allow.
   *  @throws BerthError QUEUE_FULL, QUEUE_TIMEOUT, LOAD_FAILED, LOAD_TIMEOUT, FORM_UNKNOWN, SANDBOX_START_FAILED, SHUTTING_DOWN,
   *  ISOLATION_UNAVAILABLE, NODE_UNAVAILABLE */
  acquire(runnable: Runnable, signal: AbortSignal): Promise<Lease>;
  /** The runnable with this key is out of date: its sandboxes take no new work and go when they are empty. */
  retire(key: string): void;
  /** Applies the tenant's present limits and egress policy to its live sandboxes. */
  applyLimits(tenant: TenantId): Promise<void>;
  /** Kills all sandboxes of a tenant now (suspended, deleted). */
  evict(tenant: TenantId): Promise<void>;
  /** Sandboxes are made anew of what the driver now has (a patched Node): first the pool, then each one in use, when its
   *  replacement has loaded. No request fails for it. @returns the driver's facts of now */
  rollout(): Promise<DriverFacts>;
  /** The driver's, of now. */
  facts(): DriverFacts;
  /** A blank sandbox waits, or one can be made. */
  isReady(): boolean;
  stats(): SandboxStats;
  /** Takes no new work, waits up to `graceMs` for what runs, then destroys all. */
  drain(graceMs: number): Promise<void>;
}

export interface SandboxStats {
  readonly blank: number;
  readonly starting: number;
  readonly claimed: number;
  /** of the claimed ones */
  readonly frozen: number;
  /** over, and not yet removed from the host */
  readonly ending: number;
  readonly inFlight: number;
  readonly waiting: number;
}
