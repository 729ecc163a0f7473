import type { Selectable, Transaction } from 'kysely';
import type { FunctionName, RevisionId, TenantId } from '../../contracts/ids.ts';
import type { Revision } from '../../contracts/model.ts';
import { type CodeBlobs, hashesOf, insertCode, readBytecode, readCode } from './code.ts';
import type { FunctionStore } from '../store.ts';
import type { StoreContext } from './context.ts';
import type { RevisionsTable, Schema } from './schema.ts';

/** Rows that one deploy prunes at most; a keepRevisions that was lowered takes effect over several. */
const PRUNE_ROWS = 500;

export function revisionStore({
  db,
}: StoreContext): Pick<FunctionStore, 'getRevision' | 'listRevisions' | 'getCode' | 'getBytecode'> {
  return {
    async getRevision(tenant, fn, id) {
      const row = await findRevision(db, { tenant, fn, id });
      return row === undefined ? null : revisionOf(row);
    },
    async listRevisions(tenant, fn) {
      const rows = await db
        .selectFrom('revisions')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('fn', '=', fn)
        .orderBy('number', 'desc')
        .execute();
      return rows.map(revisionOf);
    },
    getCode: (tenant, fn, revision) => readCode(db, { tenant, fn, revision }),
    getBytecode: ({ tenant, fn, id }, target) => readBytecode(db, { tenant, fn, revision: id }, target),
  };
}

export async function findRevision(
  db: Pick<Transaction<Schema>, 'selectFrom'>,
  key: { readonly tenant: TenantId; readonly fn: FunctionName; readonly id: RevisionId },
): Promise<Selectable<RevisionsTable> | undefined> {
  return db
    .selectFrom('revisions')
    .selectAll()
    .where('tenant', '=', key.tenant)
    .where('fn', '=', key.fn)
    .where('id', '=', key.id)
    .executeTakeFirst();
}

export async function insertRevision(
  transaction: Transaction<Schema>,
  revision: Revision,
  blobs: CodeBlobs,
): Promise<Selectable<RevisionsTable>> {
  const row: RevisionsTable = {
    tenant: revision.tenant,
    fn: revision.fn,
    id: revision.id,
    number: revision.number,
    form: revision.form,
    is_form_fixed: revision.isFormFixed ? 1 : 0,
    module_kind: revision.moduleKind,
    language: revision.language,
    evaluate: revision.evaluate,
    filename: revision.filename,
    node_range: revision.nodeRange,
    source_bytes: revision.sourceBytes,
    created_at: revision.createdAt,
  };
  await transaction.insertInto('revisions').values(row).execute();
  await insertCode(transaction, { tenant: revision.tenant, fn: revision.fn, revision: revision.id }, blobs);
  return row;
}

/** Deletes the oldest revisions over `keep`, never the active one. @returns hashes of code that may be unused now */
export async function pruneRevisions(
  transaction: Transaction<Schema>,
  of: {
    readonly tenant: TenantId;
    readonly fn: FunctionName;
    readonly active: RevisionId;
    readonly keep: number;
  },
): Promise<readonly string[]> {
  const { tenant, fn } = of;
  const rows = await transaction
    .selectFrom('revisions')
    .select('id')
    .where('tenant', '=', tenant)
    .where('fn', '=', fn)
    .where('id', '!=', of.active)
    .orderBy('number', 'desc')
    .offset(Math.max(1, Math.trunc(of.keep)) - 1)
    .limit(PRUNE_ROWS)
    .execute();
  if (rows.length === 0) return [];
  const revisions = rows.map(({ id }) => id);
  const hashes = await hashesOf(transaction, { tenant, fn, revisions });
  await transaction
    .deleteFrom('revisions')
    .where('tenant', '=', tenant)
    .where('fn', '=', fn)
    .where('id', 'in', revisions)
    .execute();
  return hashes;
}

export function revisionOf(row: Selectable<RevisionsTable>): Revision {
  return {
    id: row.id as RevisionId,
    tenant: row.tenant as TenantId,
    fn: row.fn as FunctionName,
    number: Number(row.number),
    form: row.form as Revision['form'],
    isFormFixed: row.is_form_fixed === 1,
    moduleKind: row.module_kind as Revision['moduleKind'],
    language: row.language as Revision['language'],
    evaluate: row.evaluate as Revision['evaluate'],
    filename: row.filename,
    nodeRange: row.node_range,
    sourceBytes: Number(row.source_bytes),
    createdAt: Number(row.created_at),
  };
}
