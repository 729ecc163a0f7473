import type { Selectable, Transaction } from 'kysely';
import { BerthError } from '../../contracts/errors.ts';
import type { FunctionName, ServiceName, TenantId, VolumeId } from '../../contracts/ids.ts';
import type { ServiceRecord } from '../../contracts/model.ts';
import type { Sealer } from '../sealer.ts';
import type { ServiceStore } from '../store.ts';
import type { StoreContext } from './context.ts';
import { liveTenant } from './live-tenant.ts';
import type { Schema, ServicesTable } from './schema.ts';
import { noTenant } from './tenants.ts';
import type { Changed } from './writer.ts';

export function serviceStore(context: StoreContext): ServiceStore {
  const { db, writer, sealer } = context;
  const recordsOf = (rows: readonly Selectable<ServicesTable>[]): Promise<ServiceRecord[]> =>
    Promise.all(rows.map((row) => recordOf(sealer, row)));
  return {
    addService: (service, max) => addService(context, service, max),
    setServiceWanted: (tenant, name, wanted) => setWanted(context, { tenant, name }, wanted),
    async getService(tenant, name) {
      const row = await db
        .selectFrom('services')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('name', '=', name)
        .executeTakeFirst();
      return row === undefined ? null : recordOf(sealer, row);
    },
    async listServices(tenant) {
      const query = db.selectFrom('services').selectAll().where('tenant', '=', tenant).orderBy('name');
      return recordsOf(await query.execute());
    },
    async listAllServices() {
      return recordsOf(await db.selectFrom('services').selectAll().orderBy('created_at').execute());
    },
    async removeService(tenant, name) {
      await writer.write(async (transaction) => {
        await transaction
          .deleteFrom('services')
          .where('tenant', '=', tenant)
          .where('name', '=', name)
          .where('wanted', '=', 'deleting')
          .execute();
      });
    },
  };
}

async function addService(
  { writer, sealer }: StoreContext,
  service: ServiceRecord,
  max: number,
): Promise<void> {
  const { tenant, name } = service;
  const row: ServicesTable = {
    tenant,
    name,
    kind: service.kind,
    wanted: service.wanted,
    volume: service.volume,
    memory_bytes: service.memoryBytes,
    sealed: await sealer.sealText(placeOf(service), service.password),
    created_at: service.createdAt,
  };
  await writer.write(async (transaction, changed) => {
    if ((await liveTenant(transaction, tenant)) === undefined) throw noTenant(tenant);
    const { numInsertedOrUpdatedRows } = await transaction
      .insertInto('services')
      .values(row)
      .onConflict((conflict) => conflict.columns(['tenant', 'name']).doNothing())
      .executeTakeFirst();
    if (Number(numInsertedOrUpdatedRows) === 0)
      throw new BerthError('CONFLICT', { what: `The service "${name}"` });
    await checkCount(transaction, tenant, max);
    await renewFunctions(transaction, tenant, changed);
  });
}

/** After the insert, which is undone with its transaction. */
async function checkCount(transaction: Transaction<Schema>, tenant: TenantId, max: number): Promise<void> {
  const { count } = await transaction
    .selectFrom('services')
    .select(({ fn }) => fn.countAll().as('count'))
    .where('tenant', '=', tenant)
    .executeTakeFirstOrThrow();
  if (Number(count) > max) throw new BerthError('LIMIT_REACHED', { name: 'services', limit: max });
}

async function setWanted(
  { writer, sealer }: StoreContext,
  { tenant, name }: Pick<ServiceRecord, 'tenant' | 'name'>,
  wanted: ServiceRecord['wanted'],
): Promise<ServiceRecord> {
  const row = await writer.write(async (transaction, changed) => {
    const updated = await transaction
      .updateTable('services')
      .set({ wanted })
      .where('tenant', '=', tenant)
      .where('name', '=', name)
      .where('wanted', '!=', 'deleting')
      .returningAll()
      .executeTakeFirst();
    if (updated === undefined) throw new BerthError('NOT_FOUND', { what: `service "${name}"` });
    if (wanted === 'deleting') await renewFunctions(transaction, tenant, changed);
    return updated;
  });
  return recordOf(sealer, row);
}

/** Their sandboxes are replaced by ones that have the secrets of now. */
async function renewFunctions(
  transaction: Transaction<Schema>,
  tenant: TenantId,
  changed: Changed,
): Promise<void> {
  const names = await transaction
    .updateTable('functions')
    .set((eb) => ({ version: eb('version', '+', 1) }))
    .where('tenant', '=', tenant)
    .returning('name')
    .execute();
  for (const { name } of names) changed({ kind: 'function', tenant, fn: name as FunctionName });
}

function placeOf({
  tenant,
  name,
  volume,
}: Pick<ServiceRecord, 'tenant' | 'name' | 'volume'>): ['service', ...string[]] {
  return ['service', tenant, name, volume];
}

async function recordOf(sealer: Sealer, row: Selectable<ServicesTable>): Promise<ServiceRecord> {
  const key = {
    tenant: row.tenant as TenantId,
    name: row.name as ServiceName,
    volume: row.volume as VolumeId,
  };
  return {
    ...key,
    kind: row.kind,
    wanted: row.wanted as ServiceRecord['wanted'],
    memoryBytes: Number(row.memory_bytes),
    password: await sealer.openText(placeOf(key), row.sealed),
    createdAt: Number(row.created_at),
  };
}
