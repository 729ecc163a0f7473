import type { Selectable, Transaction } from 'kysely';
import { BerthError } from '../../contracts/errors.ts';
import type { FunctionName, RevisionId, TenantId } from '../../contracts/ids.ts';
import type { Access, FunctionRecord } from '../../contracts/model.ts';
import type { Sealer } from '../sealer.ts';
import type { FunctionsTable, Schema } from './schema.ts';
import { type FunctionKey, openWebtask } from './settings.ts';

export async function findFunction(
  db: Pick<Transaction<Schema>, 'selectFrom'>,
  key: FunctionKey,
): Promise<Selectable<FunctionsTable> | undefined> {
  return db
    .selectFrom('functions')
    .selectAll()
    .where('tenant', '=', key.tenant)
    .where('name', '=', key.fn)
    .executeTakeFirst();
}

export function noFunction({ tenant, fn }: FunctionKey): BerthError {
  return new BerthError('NOT_FOUND', { what: `function "${fn}" of tenant "${tenant}"` });
}

export async function functionOf(sealer: Sealer, row: Selectable<FunctionsTable>): Promise<FunctionRecord> {
  const key: FunctionKey = { tenant: row.tenant as TenantId, fn: row.name as FunctionName };
  return {
    tenant: key.tenant,
    name: key.fn,
    access: row.access as Access,
    activeRevision: row.active_revision as RevisionId | null,
    nodeRange: row.node_range,
    env: JSON.parse(row.env) as Record<string, string>,
    meta: JSON.parse(row.meta) as Record<string, string>,
    webtask: await openWebtask(sealer, key, row.webtask),
    version: Number(row.version),
    createdAt: Number(row.created_at),
    updatedAt: Number(row.updated_at),
  };
}
