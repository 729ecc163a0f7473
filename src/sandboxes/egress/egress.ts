/**
 * The only way from a sandbox to a network: the broker opens connections and asks the DNS on behalf of tenants' code, after
 * policy and limits. Implemented in `local-broker.ts`; the channel (`channel/host-egress.ts`) speaks to it.
 */
import type { Duplex } from 'node:stream';
import type { EgressPolicy } from '../../contracts/egress.ts';
import type { EgressFailure, EgressPeer, LookupType } from '../../contracts/frames.ts';
import type { TenantId } from '../../contracts/ids.ts';
import type { Limits } from '../../contracts/limits.ts';

/** Why there is no connection, or none any more: an errno name of Node, and the reason in words that tenants may read. */
export class EgressError extends Error {
  override readonly name = 'EgressError';
  readonly code: string;

  constructor(code: string, reason: string, options?: { cause?: unknown }) {
    super(reason, options);
    this.code = code;
  }
}

/** On whose behalf: one sandbox that runs a revision. Read anew at each use, so changes take effect at once. */
export interface EgressCaller {
  readonly tenant: TenantId;
  policy(): EgressPolicy;
  limits(): Limits;
  /** A line in the tenant's log. */
  warn(text: string): void;
}

export interface ConnectRequest {
  /** As tenants' code gave it: a name, or an address in any spelling. */
  readonly host: string;
  readonly port: number;
  readonly family: 0 | 4 | 6;
  /** How often the request that causes it has passed through the gateway, for connections to the tenant's own functions. */
  readonly hops: number;
}

export interface LookupRequest {
  readonly name: string;
  readonly type: LookupType;
  readonly family: 0 | 4 | 6;
}

export interface LookupResult {
  readonly result: unknown;
  readonly ttls?: readonly number[];
}

export type Direction = 'in' | 'out';

/** An open connection. Whoever got it closes it. */
export interface EgressConnection {
  /** Connected. Ends with `close`; an `error` before it says why, as an EgressError. */
  readonly stream: Duplex;
  readonly peer: EgressPeer;
  /** Counts bytes that passed: `out` of the sandbox or `in`. May destroy the stream, when the tenant has had its share. */
  count(direction: Direction, bytes: number): void;
}

/** What one sandbox may do. */
export interface SandboxEgress {
  /** @param signal the sandbox does not want it any more. @throws EgressError */
  connect(request: ConnectRequest, signal: AbortSignal): Promise<EgressConnection>;
  /** @throws EgressError */
  lookup(request: LookupRequest, signal: AbortSignal): Promise<LookupResult>;
  /**
   * Where the tenant's sandboxes send too much, what its limits refuse in any case is refused without a look at it, and counted.
   * @returns the answer; null: look at it
   */
  refuseUnseen(kind: 'connect' | 'lookup'): EgressFailure | null;
  /** Counts small frames of its channel. @returns milliseconds for which the tenant's sandboxes have sent too much */
  charge(frames: number): number;
}

/** For metrics. */
export type EgressEvent =
  | {
      readonly kind: 'connect' | 'lookup';
      /** `refused` by policy, `limited`, `failed` on the way, or `ok` */
      readonly outcome: 'ok' | 'refused' | 'limited' | 'failed';
    }
  | { readonly kind: 'bytes'; readonly direction: Direction; readonly bytes: number };

export interface EgressBroker {
  forSandbox(caller: EgressCaller): SandboxEgress;
  /** The tenant's policy has changed: closes what it does not allow any more. */
  recheck(tenant: TenantId): void;
  /** Connections and look-ups of all tenants at this moment. */
  readonly open: number;
  /** Writes down what was used and closes what is open. */
  close(): Promise<void>;
}
