import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { UsageEntry } from '../../src/contracts/model.ts';
import { acme, other, type OpenedStore, type StoreUnderTest, withAcme } from './store-fixtures.ts';

const entry = (day: string, amount: number, more: Partial<UsageEntry> = {}): UsageEntry => ({
  tenant: acme,
  day,
  name: 'egressBytesIn',
  amount,
  ...more,
});

export function storeUsageSuite(name: string, open: () => Promise<OpenedStore>): void {
  describe(`the store on ${name}: usage`, () => {
    let opened: StoreUnderTest;
    beforeEach(async () => {
      opened = await withAcme(open);
    });
    afterEach(() => opened.close());

    it('adds up by tenant, day and name, beyond 32 bits', async () => {
      const { store, changes } = opened;
      await store.createTenant({ id: other, name: 'Other', limits: {} });
      changes.length = 0;
      await store.addUsage([entry('2026-01-31', 3_000_000_000), entry('2026-02-01', 1)]);
      await store.addUsage([
        entry('2026-01-31', 4_000_000_000),
        entry('2026-01-31', 5, { name: 'egressConnections' }),
        entry('2026-01-31', 9, { tenant: other }),
      ]);
      expect(await store.readUsage(acme, { from: '2026-01-31', to: '2026-01-31' })).toEqual([
        entry('2026-01-31', 7_000_000_000),
        entry('2026-01-31', 5, { name: 'egressConnections' }),
      ]);
      expect(await store.readUsage(acme, { from: '2026-02-01', to: '2026-12-31' })).toEqual([
        entry('2026-02-01', 1),
      ]);
      expect(changes).toEqual([]);
    });

    it('goes with its tenant, and does not come back for one that is gone', async () => {
      const { store } = opened;
      await store.addUsage([entry('2026-01-31', 1)]);
      await store.deleteTenant(acme);
      await store.addUsage([entry('2026-01-31', 1)]);
      await store.createTenant({ id: acme, name: 'Acme', limits: {} });
      expect(await store.readUsage(acme, { from: '2026-01-31', to: '2026-01-31' })).toEqual([]);
    });
  });
}
