/** The host's end of one sandbox's channel: what pool, watchdog and leases build on. Implemented in `host-channel.ts`. */
import type { BerthError } from '../../contracts/errors.ts';
import type { Hello, Loaded, LogLevelName, RequestHead } from '../../contracts/frames.ts';
import type { Invocation, InvocationEvents } from '../sandboxes.ts';

export interface ChannelEvents {
  onHello(hello: Hello): void;
  onLoaded(loaded: Loaded): void;
  /** `invocation` is the id that the host gave with the request, null for none. Text is hostile and at most 64 KiB. */
  onLog(invocation: string | null, level: LogLevelName, text: string): void;
  /** The runtime, or the host's own rate limit, dropped log lines. */
  onLogDropped(lines: number, bytes: number): void;
  onPong(nonce: number): void;
  /** The runtime says that an uncaught error ends the process. */
  onFatal(reason: string, stack: string | undefined): void;
  /** The platform's own code threw on something that came in. For the operator's log; the channel goes on or is closed next. */
  onFault(thrown: unknown): void;
  /** The channel is unusable: a protocol violation or a fault of ours (error set), or the other side closed (null). Called
   *  once. Invocations stay open until the owner, who learns the reason from the driver, calls `close` with the error for them. */
  onClosed(violation: BerthError | null): void;
}

export interface InvocationRequest {
  readonly head: RequestHead;
  readonly body: Buffer;
  readonly isEnd: boolean;
  readonly isUpgrade: boolean;
  /** How often the request has passed through the gateway before, by way of the tenant's own functions; 0 when left out. */
  readonly hops?: number;
}

export interface Channel {
  /** Nobody waits for it: it compiles what functions need, until `load`. */
  exercise(withFetch: boolean): void;
  /** The Load frame; `payload` comes from `encodeLoad`. */
  load(payload: Buffer): void;
  open(request: InvocationRequest, events: InvocationEvents): Invocation;
  ping(nonce: number): void;
  /** Invocations that have not ended, cancelled ones included. */
  readonly inFlight: number;
  /** Number of frames received that show progress of an invocation (responses, data, done): for the spin limit. */
  readonly progress: number;
  /** The same, and each time that a function took some of its request's body. */
  readonly moves: number;
  /** When its last connection or look-up outside ended, monotonic; `Infinity` while there is one, 0 when there was none. */
  readonly egressAt: number;
  /** Bytes of log text accepted per second; changes at once. */
  setLogRate(bytesPerSecond: number): void;
  /** Ends the channel; every open invocation gets onFailed with this error. Idempotent. */
  close(error: BerthError): void;
}
