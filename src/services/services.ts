/**
 * Services of tenants: started, kept running, stopped, and connected to by their own tenant's functions alone. A service
 * lives no longer than the platform does; what stays is its volume. Implemented in `tenant-services.ts`.
 */
import type { Duplex } from 'node:stream';
import type { ServiceName, TenantId } from '../contracts/ids.ts';
import type { IsolationTier } from '../contracts/isolations.ts';
import type { ServiceRecord } from '../contracts/model.ts';

export interface ServiceStatus {
  readonly record: ServiceRecord;
  readonly state: ServiceState;
  /** Why it does not run although it should: text of ours. */
  readonly reason: string | null;
  /** What it keeps on the disk, as it was seen last; null: not yet. */
  readonly diskBytes: number | null;
}

/** `failed`: it shall run, and is tried again. */
export type ServiceState = 'starting' | 'running' | 'stopped' | 'failed' | 'deleting';

/** What an operator counts. */
export type ServiceEvent =
  | { readonly kind: 'started'; readonly ms: number }
  /** Each attempt; not one that was given up because it is not wanted any more. */
  | { readonly kind: 'start-failed' }
  /** Nobody had told it to; it is started again. */
  | { readonly kind: 'ended' }
  /** It is not read for a while: its frames cost more than any use has need of. */
  | { readonly kind: 'paused' };

export interface ServiceCall {
  readonly tenant: TenantId;
  /** As tenants' code gave it. */
  readonly service: string;
  readonly port: number;
}

/** There is no connection: an errno name of Node, and the reason in words that tenants may read. */
export class ServiceRefusal extends Error {
  override readonly name = 'ServiceRefusal';
  readonly code: 'ENOTFOUND' | 'ECONNREFUSED' | 'ETIMEDOUT';

  constructor(code: ServiceRefusal['code'], reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.code = code;
  }
}

/** What decides how a tenant's services run. */
export interface ServiceTenant {
  readonly isActive: boolean;
  readonly isolation: IsolationTier;
}

export interface Services {
  /** Reads what there should be, and starts it; returns when it has begun. */
  open(): Promise<void>;
  /**
   * Resolves when it runs (that of a suspended tenant does not). @throws BerthError what the store throws, and
   * SERVICES_UNAVAILABLE, SERVICE_IMAGE_MISSING, SERVICE_START_FAILED: nothing is left of it then
   */
  create(record: ServiceRecord, max: number): Promise<ServiceStatus>;
  /** By name. */
  list(tenant: TenantId): Promise<readonly ServiceStatus[]>;
  /** Resolves when it runs. @throws BerthError NOT_FOUND, SERVICE_START_FAILED, …: it is stopped then */
  start(tenant: TenantId, name: ServiceName): Promise<ServiceStatus>;
  /** Resolves when it has ended; it stays stopped. @throws BerthError NOT_FOUND */
  stop(tenant: TenantId, name: ServiceName): Promise<ServiceStatus>;
  /** With all that it kept. @throws BerthError NOT_FOUND */
  remove(tenant: TenantId, name: ServiceName): Promise<void>;
  removeAll(tenant: TenantId): Promise<void>;
  /** The tenant was suspended, activated, or got another isolation: its services follow. */
  settle(tenant: TenantId): Promise<void>;
  /** Waits for one that is starting. @throws ServiceRefusal */
  connect(call: ServiceCall, signal: AbortSignal): Promise<Duplex>;
  /** How many there are, of all tenants. */
  counts(): Readonly<Record<ServiceState, number>>;
  /** What they keep, in bytes on the disk, as it was seen last. */
  disk(): { readonly all: number; readonly largest: number };
  /** What functions of the tenant find in their secrets. */
  secretsOf(tenant: TenantId): Promise<Readonly<Record<string, string>>>;
  /** Ends all; each gets the time to do so in order. */
  close(): Promise<void>;
}
