/** What every store must do with the services of tenants. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { serviceNameSchema, volumeIdSchema } from '../../src/contracts/ids.ts';
import type { ServiceRecord } from '../../src/contracts/model.ts';
import type { Store, StoreChange } from '../../src/store/store.ts';
import {
  acme,
  codeOf,
  hello,
  newDeploy,
  type OpenedStore,
  other,
  type StoreUnderTest,
  withAcme,
} from './store-fixtures.ts';

const redis: ServiceRecord = {
  tenant: acme,
  name: serviceNameSchema.parse('redis'),
  kind: 'redis',
  wanted: 'running',
  volume: volumeIdSchema.parse(`v${'a'.repeat(20)}`),
  memoryBytes: 2 ** 33,
  password: 'a password',
  createdAt: 7,
};

export function storeServicesSuite(name: string, open: () => Promise<OpenedStore>): void {
  describe(`the store on ${name}: services`, () => {
    let opened: StoreUnderTest;
    let store: Store;
    let changes: StoreChange[];
    beforeEach(async () => {
      opened = await withAcme(open);
      ({ store, changes } = opened);
    });
    afterEach(() => opened.close());

    it('keeps them whole, by tenant and name', async () => {
      const orders = { ...redis, name: serviceNameSchema.parse('orders'), kind: 'postgres', createdAt: 9 };
      await store.addService(redis, 2);
      await store.addService(orders, 2);
      expect(await store.listServices(acme)).toEqual([orders, redis]);
      expect(await store.getService(acme, redis.name)).toEqual(redis);
      expect(await store.getService(other, redis.name)).toBeNull();
      expect(await store.listServices(other)).toEqual([]);
      expect(await store.listAllServices()).toEqual([redis, orders]);
    });

    it('refuses a second one of the name, one too many, and one of no tenant', async () => {
      await store.addService(redis, 1);
      expect(await codeOf(store.addService(redis, 5))).toBe('CONFLICT');
      const second = { ...redis, name: serviceNameSchema.parse('second') };
      expect(await codeOf(store.addService(second, 1))).toBe('LIMIT_REACHED');
      expect(await codeOf(store.addService({ ...redis, tenant: other }, 5))).toBe('NOT_FOUND');
      expect(await store.listAllServices()).toEqual([redis]);
    });

    it('raises the version of each function of the tenant, and of no other, when one comes or goes', async () => {
      await store.createTenant({ id: other, name: 'o', limits: {} });
      for (const tenant of [acme, other]) await store.deploy(newDeploy(1, { tenant }));
      const versions = async (): Promise<(number | undefined)[]> =>
        Promise.all([acme, other].map(async (tenant) => (await store.getFunction(tenant, hello))?.version));
      const [before, others] = await versions();
      changes.length = 0;
      await store.addService(redis, 1);
      expect(await versions()).toEqual([before! + 1, others]);
      expect(changes).toEqual([{ kind: 'function', tenant: acme, fn: hello }]);
      await store.setServiceWanted(acme, redis.name, 'stopped');
      expect(await versions()).toEqual([before! + 1, others]);
      await store.setServiceWanted(acme, redis.name, 'deleting');
      expect(await versions()).toEqual([before! + 2, others]);
    });

    it('forgets one only when it is being deleted, which is for ever', async () => {
      await store.addService(redis, 1);
      await store.removeService(acme, redis.name);
      expect(await store.setServiceWanted(acme, redis.name, 'deleting')).toEqual({
        ...redis,
        wanted: 'deleting',
      });
      expect(await codeOf(store.setServiceWanted(acme, redis.name, 'running'))).toBe('NOT_FOUND');
      expect(await codeOf(store.addService(redis, 5))).toBe('CONFLICT');
      await store.removeService(acme, redis.name);
      expect(await store.getService(acme, redis.name)).toBeNull();
      await store.removeService(acme, redis.name);
    });

    it('keeps a tenant as long as it has one: its row alone knows of container and volume', async () => {
      await store.addService(redis, 1);
      expect(await codeOf(store.deleteTenant(acme))).toBe('CONFLICT');
      expect(await store.getTenant(acme)).not.toBeNull();
      await store.setServiceWanted(acme, redis.name, 'deleting');
      await store.removeService(acme, redis.name);
      expect(await store.deleteTenant(acme)).toBe(true);
    });
  });
}
