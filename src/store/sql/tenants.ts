import type { Selectable, SelectQueryBuilder } from 'kysely';
import { BerthError } from '../../contracts/errors.ts';
import { DEFAULT_EGRESS_POLICY, type EgressPolicy } from '../../contracts/egress.ts';
import type { TenantId } from '../../contracts/ids.ts';
import type { LimitOverrides } from '../../contracts/limits.ts';
import type { Tenant } from '../../contracts/model.ts';
import type { TenantStore } from '../store.ts';
import { rowsOf, type StoreContext, textOf } from './context.ts';
import { finishTenant } from './deletion.ts';
import { GONE, isGone } from './live-tenant.ts';
import { deleteLogsOf } from './logs.ts';
import type { Schema, TenantsTable } from './schema.ts';

export function tenantStore(context: StoreContext): TenantStore {
  const { db } = context;
  return {
    createTenant: (tenant) => createTenant(context, tenant),
    updateTenant: (id, change) => updateTenant(context, id, change),
    deleteTenant: (id) => deleteTenant(context, id),
    async getTenant(id) {
      const row = await tenants(db).where('id', '=', id).executeTakeFirst();
      return row === undefined ? null : tenantOf(row);
    },
    async listTenants(page) {
      const query = tenants(db).orderBy('id').limit(rowsOf(page));
      const rows = await (page.after === undefined ? query : query.where('id', '>', page.after)).execute();
      return rows.map(tenantOf);
    },
    async countTenants() {
      const { count } = await db
        .selectFrom('tenants')
        .select((sql) => sql.fn.countAll().as('count'))
        .where('state', '!=', GONE)
        .executeTakeFirstOrThrow();
      return Number(count);
    },
  };
}

function tenants(db: StoreContext['db']): SelectQueryBuilder<Schema, 'tenants', Selectable<TenantsTable>> {
  return db.selectFrom('tenants').selectAll().where('state', '!=', GONE);
}

export function noTenant(id: string): BerthError {
  return new BerthError('NOT_FOUND', { what: `tenant "${id}"` });
}

async function createTenant(
  context: StoreContext,
  tenant: Parameters<TenantStore['createTenant']>[0],
): Promise<Tenant> {
  const { db, writer, clock, logs } = context;
  if (await isGone(db, tenant.id)) await finishTenant(context, tenant.id);
  const created = await writer.write(async (transaction, changed) => {
    const now = clock.now();
    const row: TenantsTable = {
      id: tenant.id,
      name: tenant.name,
      state: 'active',
      limits: textOf(tenant.limits),
      egress: JSON.stringify(tenant.egress ?? DEFAULT_EGRESS_POLICY),
      isolation: tenant.isolation ?? 'standard',
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
  change: Partial<Pick<Tenant, 'name' | 'state' | 'limits' | 'egress' | 'isolation' | 'tokensValidFrom'>>,
): Promise<Tenant> {
  return writer.write(async (transaction, changed) => {
    const { name, state, limits, egress, isolation, tokensValidFrom } = change;
    const row = await transaction
      .updateTable('tenants')
      .set({
        updated_at: clock.now(),
        ...(name === undefined ? {} : { name }),
        ...(state === undefined ? {} : { state }),
        ...(limits === undefined ? {} : { limits: textOf(limits) }),
        ...(egress === undefined ? {} : { egress: JSON.stringify(egress) }),
        ...(isolation === undefined ? {} : { isolation }),
        ...(tokensValidFrom === undefined ? {} : { tokens_valid_from: tokensValidFrom }),
      })
      .where('id', '=', id)
      .where('state', '!=', GONE)
      .returningAll()
      .executeTakeFirst();
    if (row === undefined) throw noTenant(id);
    changed({ kind: 'tenant', tenant: id });
    return tenantOf(row);
  });
}

async function deleteTenant(context: StoreContext, id: TenantId): Promise<boolean> {
  const { writer, log } = context;
  const isMarked = await writer.write(async (transaction, changed) => {
    // Their containers and volumes are known by these rows alone.
    const service = await transaction
      .selectFrom('services')
      .select('name')
      .where('tenant', '=', id)
      .executeTakeFirst();
    if (service !== undefined)
      throw new BerthError('CONFLICT', { what: `The service "${service.name}" of the tenant` });
    const { numUpdatedRows } = await transaction
      .updateTable('tenants')
      .set({ state: GONE })
      .where('id', '=', id)
      .where('state', '!=', GONE)
      .executeTakeFirstOrThrow();
    if (numUpdatedRows === 0n) return false;
    changed({ kind: 'tenant', tenant: id });
    changed({ kind: 'keys', tenant: id });
    return true;
  });
  if (!isMarked) return false;
  await finishTenant(context, id).catch((error: unknown) => {
    log.warn({ err: error, tenant: id }, 'the rest of a deleted tenant stays until the next start');
  });
  return true;
}

function tenantOf(row: Selectable<TenantsTable>): Tenant {
  return {
    id: row.id as TenantId,
    name: row.name,
    state: row.state as Tenant['state'],
    limits: JSON.parse(row.limits) as LimitOverrides,
    egress: JSON.parse(row.egress) as EgressPolicy,
    isolation: row.isolation as Tenant['isolation'],
    tokensValidFrom: Number(row.tokens_valid_from),
    createdAt: Number(row.created_at),
    updatedAt: Number(row.updated_at),
  };
}
