import type { Selectable } from 'kysely';
import { BerthError } from '../../contracts/errors.ts';
import { DEFAULT_EGRESS_POLICY, type EgressPolicy } from '../../contracts/egress.ts';
import type { TenantId } from '../../contracts/ids.ts';
import type { LimitOverrides } from '../../contracts/limits.ts';
import type { Tenant } from '../../contracts/model.ts';
import type { TenantStore } from '../store.ts';
import { rowsOf, type StoreContext, textOf } from './context.ts';
import { deleteLogsOf } from './logs.ts';
import type { TenantsTable } from './schema.ts';

export function tenantStore(context: StoreContext): TenantStore {
  const { db } = context;
  return {
    createTenant: (tenant) => createTenant(context, tenant),
    updateTenant: (id, change) => updateTenant(context, id, change),
    deleteTenant: (id) => deleteTenant(context, id),
    async getTenant(id) {
      const row = await db.selectFrom('tenants').selectAll().where('id', '=', id).executeTakeFirst();
      return row === undefined ? null : tenantOf(row);
    },
    async listTenants(page) {
      const query = db.selectFrom('tenants').selectAll().orderBy('id').limit(rowsOf(page));
      const rows = await (page.after === undefined ? query : query.where('id', '>', page.after)).execute();
      return rows.map(tenantOf);
    },
    async countTenants() {
      const { count } = await db
        .selectFrom('tenants')
        .select((sql) => sql.fn.countAll().as('count'))
        .executeTakeFirstOrThrow();
      return Number(count);
    },
  };
}

export function noTenant(id: string): BerthError {
  return new BerthError('NOT_FOUND', { what: `tenant "${id}"` });
}

async function createTenant(
  { writer, clock, logs }: StoreContext,
  tenant: Parameters<TenantStore['createTenant']>[0],
): Promise<Tenant> {
  const created = await writer.write(async (transaction, changed) => {
    const now = clock.now();
    const row: TenantsTable = {
      id: tenant.id,
      name: tenant.name,
      state: 'active',
      limits: textOf(tenant.limits),
      egress: JSON.stringify(tenant.egress ?? DEFAULT_EGRESS_POLICY),
      tokens_valid_from: 0,
      function_count: 0,
      created_at: now,
      updated_at: now,
    };
    const { numInsertedOrUpdatedRows } = await transaction
      .insertInto('tenants')
      .values(row)
      .onConflict((conflict) => conflict.column('id').doNothing())
      .executeTakeFirst();
    if (Number(numInsertedOrUpdatedRows) === 0) {
      throw new BerthError('CONFLICT', { what: `The tenant "${tenant.id}"` });
    }
    // Nobody may read what an earlier tenant of the same name left behind, should a delete have been cut off.
    await deleteLogsOf(logs, tenant.id);
    changed({ kind: 'tenant', tenant: tenant.id });
    return row;
  });
  return tenantOf(created);
}

async function updateTenant(
  { writer, clock }: StoreContext,
  id: TenantId,
  change: Partial<Pick<Tenant, 'name' | 'state' | 'limits' | 'egress' | 'tokensValidFrom'>>,
): Promise<Tenant> {
  return writer.write(async (transaction, changed) => {
    const { name, state, limits, egress, tokensValidFrom } = change;
    const row = await transaction
      .updateTable('tenants')
      .set({
        updated_at: clock.now(),
        ...(name === undefined ? {} : { name }),
        ...(state === undefined ? {} : { state }),
        ...(limits === undefined ? {} : { limits: textOf(limits) }),
        ...(egress === undefined ? {} : { egress: JSON.stringify(egress) }),
        ...(tokensValidFrom === undefined ? {} : { tokens_valid_from: tokensValidFrom }),
      })
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirst();
    if (row === undefined) throw noTenant(id);
    changed({ kind: 'tenant', tenant: id });
    return tenantOf(row);
  });
}

async function deleteTenant({ writer, logs }: StoreContext, id: TenantId): Promise<boolean> {
  await deleteLogsOf(logs, id);
  const isDeleted = await writer.write(async (transaction, changed) => {
    const { numDeletedRows } = await transaction
      .deleteFrom('tenants')
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    if (numDeletedRows === 0n) return false;
    changed({ kind: 'tenant', tenant: id });
    changed({ kind: 'keys', tenant: id });
    return true;
  });
  // What was logged between the two; after this, lines of a tenant that is gone are not taken any more.
  if (isDeleted) await deleteLogsOf(logs, id);
  return isDeleted;
}

function tenantOf(row: Selectable<TenantsTable>): Tenant {
  return {
    id: row.id as TenantId,
    name: row.name,
    state: row.state as Tenant['state'],
    limits: JSON.parse(row.limits) as LimitOverrides,
    egress: JSON.parse(row.egress) as EgressPolicy,
    tokensValidFrom: Number(row.tokens_valid_from),
    createdAt: Number(row.created_at),
    updatedAt: Number(row.updated_at),
  };
}
