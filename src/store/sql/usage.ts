/** What tenants used, by day. */
import type { TenantId } from '../../contracts/ids.ts';
import type { UsageEntry, UsageName } from '../../contracts/model.ts';
import type { UsageStore } from '../store.ts';
import type { StoreContext } from './context.ts';

export function usageStore({ db, writer }: StoreContext): UsageStore {
  return {
    addUsage: (entries) =>
      writer.write(async (transaction) => {
        for (const { tenant, day, name, amount } of entries) {
          const known = await transaction
            .selectFrom('tenants')
            .select('id')
            .where('id', '=', tenant)
            .executeTakeFirst();
          if (known === undefined) continue;
          await transaction
            .insertInto('usage')
            .values({ tenant, day, name, amount })
            .onConflict((conflict) =>
              conflict
                .columns(['tenant', 'day', 'name'])
                .doUpdateSet(({ ref, eb }) => ({ amount: eb(ref('usage.amount'), '+', amount) })),
            )
            .execute();
        }
      }),
    async readUsage(tenant, { from, to }) {
      const rows = await db
        .selectFrom('usage')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('day', '>=', from)
        .where('day', '<=', to)
        .orderBy('day')
        .orderBy('name')
        .execute();
      return rows.map((row): UsageEntry => ({
        tenant: row.tenant as TenantId,
        day: row.day,
        name: row.name as UsageName,
        amount: Number(row.amount),
      }));
    },
  };
}
