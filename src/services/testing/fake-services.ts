/** Services without containers, for tests of what is built on them: what is asked for is there at once. */
import type { Duplex } from 'node:stream';
import { BerthError } from '../../contracts/errors.ts';
import type { ServiceName, TenantId } from '../../contracts/ids.ts';
import type { ServiceRecord } from '../../contracts/model.ts';
import {
  type ServiceCall,
  ServiceRefusal,
  type Services,
  type ServiceState,
  type ServiceStatus,
} from '../services.ts';

export class FakeServices implements Services {
  readonly all = new Map<string, ServiceStatus>();
  readonly settled: TenantId[] = [];

  open(): Promise<void> {
    return Promise.resolve();
  }

  create(record: ServiceRecord, max: number): Promise<ServiceStatus> {
    const own = [...this.all.values()].filter((one) => one.record.tenant === record.tenant);
    if (own.length >= max)
      return Promise.reject(new BerthError('LIMIT_REACHED', { name: 'services', limit: max }));
    return Promise.resolve(this.#set(record, 'running'));
  }

  list(tenant: TenantId): Promise<readonly ServiceStatus[]> {
    return Promise.resolve([...this.all.values()].filter(({ record }) => record.tenant === tenant));
  }

  async start(tenant: TenantId, name: ServiceName): Promise<ServiceStatus> {
    return this.#set(this.#find(tenant, name).record, 'running');
  }

  async stop(tenant: TenantId, name: ServiceName): Promise<ServiceStatus> {
    return this.#set(this.#find(tenant, name).record, 'stopped');
  }

  async remove(tenant: TenantId, name: ServiceName): Promise<void> {
    this.#find(tenant, name);
    this.all.delete(`${tenant}/${name}`);
  }

  async removeAll(tenant: TenantId): Promise<void> {
    for (const { record } of await this.list(tenant)) await this.remove(tenant, record.name);
  }

  settle(tenant: TenantId): Promise<void> {
    this.settled.push(tenant);
    return Promise.resolve();
  }

  connect({ service }: ServiceCall): Promise<Duplex> {
    return Promise.reject(new ServiceRefusal('ENOTFOUND', `the tenant has no service "${service}"`));
  }

  counts(): Record<ServiceState, number> {
    const counts = { starting: 0, running: 0, stopped: 0, failed: 0, deleting: 0 };
    for (const { state } of this.all.values()) counts[state] += 1;
    return counts;
  }

  disk(): { readonly all: number; readonly largest: number } {
    return { all: 0, largest: 0 };
  }

  secretsOf(): Promise<Readonly<Record<string, string>>> {
    return Promise.resolve({});
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #set(record: ServiceRecord, state: ServiceStatus['state']): ServiceStatus {
    const status = { record, state, reason: null, diskBytes: null };
    this.all.set(`${record.tenant}/${record.name}`, status);
    return status;
  }

  #find(tenant: TenantId, name: ServiceName): ServiceStatus {
    const status = this.all.get(`${tenant}/${name}`);
    if (status === undefined) throw new BerthError('NOT_FOUND', { what: `service "${name}"` });
    return status;
  }
}
