/** All services of this platform, over the store that says what there should be and the driver that makes containers. */
import type { Duplex } from 'node:stream';
import { BerthError } from '../contracts/errors.ts';
import type { ServiceName, TenantId } from '../contracts/ids.ts';
import type { ServiceRecord } from '../contracts/model.ts';
import { type ServiceDefinition, type ServiceKinds, serviceSecrets } from '../contracts/services.ts';
import type { Driver } from '../drivers/driver.ts';
import type { Store } from '../store/store.ts';
import { DiskWatch } from './disk-watch.ts';
import { LiveService } from './live-service.ts';
import { factsOfService, type RunOptions } from './service-run.ts';
import { StartTurns } from './start-turns.ts';
import {
  type ServiceCall,
  ServiceRefusal,
  type Services,
  type ServiceState,
  type ServiceStatus,
  type ServiceTenant,
} from './services.ts';

/** More at the same time are done no earlier, and some of them too late: all want the same few CPUs and the one engine. */
const STARTS_AT_ONCE = 8;

export interface ServicesOptions extends Omit<RunOptions, 'driver' | 'turns'> {
  readonly driver: Pick<Driver, 'startService' | 'destroy' | 'removeVolume' | 'volumeSizes'>;
  readonly store: Pick<
    Store,
    | 'addService'
    | 'getService'
    | 'getTenant'
    | 'listAllServices'
    | 'listServices'
    | 'removeService'
    | 'setServiceWanted'
  >;
  readonly kinds: ServiceKinds;
}

/** Does nothing before `open`. */
export function createServices(options: ServicesOptions): Services {
  return new TenantServices(options);
}

class TenantServices implements Services {
  readonly #options: ServicesOptions;
  readonly #turns = new StartTurns(STARTS_AT_ONCE);
  readonly #live = new Map<string, LiveService>();
  /** Those of no kind that there is, by the same key. */
  readonly #kindless = new Map<string, ServiceRecord>();

  readonly #disk: DiskWatch;

  constructor(options: ServicesOptions) {
    this.#options = options;
    this.#disk = new DiskWatch(options, () => this.#live.size + this.#kindless.size > 0);
  }

  async open(): Promise<void> {
    for (const record of await this.#options.store.listAllServices()) {
      const live = this.#enter(record);
      if (record.wanted === 'deleting') void this.#finishRemoval(record).catch(() => undefined);
      else void live?.keep();
    }
    this.#disk.open();
  }

  async create(record: ServiceRecord, max: number): Promise<ServiceStatus> {
    const { tenant, name } = record;
    await this.#options.store.addService(record, max);
    const live = this.#enter(record)!;
    try {
      await live.settle();
    } catch (error) {
      // What fails of that is in the log, and tried again.
      await this.remove(tenant, name).catch(() => undefined);
      throw error;
    }
    return live.status;
  }

  async list(tenant: TenantId): Promise<readonly ServiceStatus[]> {
    const records = await this.#options.store.listServices(tenant);
    return records.map((record) => ({ ...this.#statusOf(record), record }));
  }

  async start(tenant: TenantId, name: ServiceName): Promise<ServiceStatus> {
    const live = await this.#want(tenant, name, 'running');
    try {
      await live.settle();
    } catch (error) {
      await this.stop(tenant, name);
      throw error;
    }
    return live.status;
  }

  async stop(tenant: TenantId, name: ServiceName): Promise<ServiceStatus> {
    const live = await this.#want(tenant, name, 'stopped');
    await live.settle();
    return live.status;
  }

  async remove(tenant: TenantId, name: ServiceName): Promise<void> {
    const { store } = this.#options;
    const record = await store.getService(tenant, name);
    if (record === null) throw notFound(name);
    const marked =
      record.wanted === 'deleting' ? record : await store.setServiceWanted(tenant, name, 'deleting');
    await this.#finishRemoval(marked);
  }

  async removeAll(tenant: TenantId): Promise<void> {
    const records = await this.#options.store.listServices(tenant);
    await Promise.all(records.map(({ name }) => this.remove(tenant, name)));
  }

  async settle(tenant: TenantId): Promise<void> {
    const own = [...this.#live.values()].filter(({ record }) => record.tenant === tenant);
    await Promise.all(own.map((live) => live.restart()));
  }

  async connect({ tenant, service, port }: ServiceCall, signal: AbortSignal): Promise<Duplex> {
    const live = this.#live.get(keyOf({ tenant, name: service }));
    if (live === undefined)
      throw new ServiceRefusal('ENOTFOUND', `the tenant has no service "${service.slice(0, 40)}"`);
    if (port !== live.port)
      throw new ServiceRefusal('ECONNREFUSED', `the service ${service} listens on port ${live.port}`);
    const run = await live.running(signal);
    return run.connect(signal).catch((error: unknown) => {
      const reason = `the service ${service} does not take connections`;
      throw new ServiceRefusal('ECONNREFUSED', reason, { cause: error });
    });
  }

  counts(): Readonly<Record<ServiceState, number>> {
    const counts = { starting: 0, running: 0, stopped: 0, failed: 0, deleting: 0 };
    for (const { status } of this.#live.values()) counts[status.state] += 1;
    for (const record of this.#kindless.values()) counts[this.#statusOf(record).state] += 1;
    return counts;
  }

  disk(): { readonly all: number; readonly largest: number } {
    return this.#disk.total;
  }

  async secretsOf(tenant: TenantId): Promise<Readonly<Record<string, string>>> {
    const records = await this.#options.store.listServices(tenant);
    const secrets = records.map((record) => {
      const definition = this.#options.kinds[record.kind];
      if (definition === undefined || record.wanted === 'deleting') return {};
      return serviceSecrets(record.name, definition, factsOfService(record, definition));
    });
    return Object.assign({}, ...secrets) as Record<string, string>;
  }

  async close(): Promise<void> {
    this.#disk.close();
    const ends = await Promise.allSettled([...this.#live.values()].map((live) => live.close()));
    const errors = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []));
    if (errors.length > 0) throw new AggregateError(errors, `${errors.length} services were not ended`);
  }

  /** @returns null when the operator has taken its kind from the list: it stays as it is, and does not run */
  #enter(record: ServiceRecord): LiveService | null {
    const { kinds, log } = this.#options;
    const { tenant, name, kind } = record;
    const definition: ServiceDefinition | undefined = kinds[kind];
    if (definition === undefined) {
      this.#kindless.set(keyOf(record), record);
      log.warn({ tenant, service: name, kind }, 'the kind of a service is not in the settings any more');
      return null;
    }
    const own = { tenant: () => this.#tenantOf(tenant), diskBytes: () => this.#disk.of(record.volume) };
    const parts = { ...this.#options, turns: this.#turns, definition, ...own };
    const live = new LiveService(parts, record);
    this.#live.set(keyOf(record), live);
    return live;
  }

  async #tenantOf(id: TenantId): Promise<ServiceTenant> {
    const tenant = await this.#options.store.getTenant(id);
    return { isActive: tenant?.state === 'active', isolation: tenant?.isolation ?? 'standard' };
  }

  #statusOf(record: ServiceRecord): ServiceStatus {
    const live = this.#live.get(keyOf(record));
    if (live !== undefined) return live.status;
    const state = record.wanted === 'deleting' ? 'deleting' : 'failed';
    const reason = `there is no kind of service "${record.kind}" any more`;
    return { record, state, reason, diskBytes: this.#disk.of(record.volume) };
  }

  async #want(tenant: TenantId, name: ServiceName, wanted: 'running' | 'stopped'): Promise<LiveService> {
    const record = await this.#options.store.setServiceWanted(tenant, name, wanted);
    const live = this.#live.get(keyOf(record)) ?? this.#enter(record);
    if (live === null) throw new BerthError('SERVICE_KIND_UNKNOWN', { kind: record.kind, ...this.kindNames });
    live.change(record);
    return live;
  }

  get kindNames(): { readonly kinds: string } {
    return { kinds: Object.keys(this.#options.kinds).join(', ') };
  }

  /** The name is free when it resolves. Repeatable, also after a restart. */
  async #finishRemoval(record: ServiceRecord): Promise<void> {
    const { driver, store, log } = this.#options;
    const key = keyOf(record);
    const live = this.#live.get(key);
    live?.change(record);
    if (this.#kindless.has(key)) this.#kindless.set(key, record);
    try {
      await live?.close();
      await driver.removeVolume(record.volume);
      await store.removeService(record.tenant, record.name);
      if (this.#live.get(key) === live) this.#live.delete(key);
      this.#kindless.delete(key);
    } catch (error) {
      log.error(
        { tenant: record.tenant, service: record.name, err: error },
        'a service is not wholly removed; the next start tries again',
      );
      throw error;
    }
  }
}

function keyOf({ tenant, name }: { readonly tenant: string; readonly name: string }): string {
  return `${tenant}/${name}`;
}

function notFound(name: string): BerthError {
  return new BerthError('NOT_FOUND', { what: `service "${name}"` });
}
