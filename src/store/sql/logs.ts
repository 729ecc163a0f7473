/** Tenants' logs: best effort, so not part of the main database's transactions. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Kysely, Selectable } from 'kysely';
import type { FunctionName, RevisionId, TenantId } from '../../contracts/ids.ts';
import type { LogRecord } from '../../contracts/model.ts';
import type { LogQuery, LogStore } from '../store.ts';
import { rowsOf, type StoreContext } from './context.ts';
import { lockDeadline, patiently } from './patience.ts';
import { GONE } from './live-tenant.ts';
import type { LogsTable, Schema } from './schema.ts';

const INSERT_ROWS = 200;
/** Rows that one statement deletes: the data path shares the thread, so long deletes go in steps. */
const DELETE_ROWS = 2_000;

export function logStore(context: StoreContext): LogStore {
  const { logs } = context;
  return {
    appendLogs: (records) => appendLogs(context, records),
    queryLogs: (query) => queryLogs(logs, query),
    async pruneLogs(tenant, keep) {
      const oldest = await logs
        .selectFrom('logs')
        .select('id')
        .where('tenant', '=', tenant)
        .orderBy('id', 'desc')
        .offset(Math.max(0, Math.trunc(keep)))
        .limit(1)
        .executeTakeFirst();
      if (oldest !== undefined) await deleteUpTo(logs, tenant, Number(oldest.id));
    },
  };
}

/** Deletes all lines of a tenant, in steps. */
export async function deleteLogsOf(logs: Kysely<Schema>, tenant: TenantId): Promise<void> {
  await deleteUpTo(logs, tenant, Number.MAX_SAFE_INTEGER);
}

async function appendLogs(context: StoreContext, records: readonly LogRecord[]): Promise<void> {
  const known = await knownTenants(context, records);
  const rows = records.filter(({ tenant }) => known.has(tenant)).map(rowOf);
  const deadline = lockDeadline();
  for (let start = 0; start < rows.length; start += INSERT_ROWS) {
    if (start > 0) await nextTurn();
    const insert = context.logs.insertInto('logs').values(rows.slice(start, start + INSERT_ROWS));
    await patiently(() => insert.execute(), deadline);
  }
}

/** Lines of a tenant that was deleted must not come back with the next tenant of that name. */
async function knownTenants(
  { db }: StoreContext,
  records: readonly LogRecord[],
): Promise<ReadonlySet<string>> {
  const named = [...new Set(records.map(({ tenant }) => tenant as string))];
  const known = new Set<string>();
  for (let start = 0; start < named.length; start += INSERT_ROWS) {
    const some = named.slice(start, start + INSERT_ROWS);
    const rows = await db
      .selectFrom('tenants')
      .select('id')
      .where('id', 'in', some)
      .where('state', '!=', GONE)
      .execute();
    for (const { id } of rows) known.add(id);
  }
  return known;
}

async function queryLogs(
  logs: Kysely<Schema>,
  query: LogQuery,
): Promise<readonly (LogRecord & { readonly id: number })[]> {
  let select = logs.selectFrom('logs').selectAll().where('tenant', '=', query.tenant);
  if (query.fn !== undefined) select = select.where('fn', '=', query.fn);
  if (query.invocation !== undefined) select = select.where('invocation', '=', query.invocation);
  if (query.before !== undefined) select = select.where('id', '<', query.before);
  if (query.since !== undefined) select = select.where('at', '>=', query.since);
  const rows = await select.orderBy('id', 'desc').limit(rowsOf(query)).execute();
  return rows.map(recordOf);
}

async function deleteUpTo(logs: Kysely<Schema>, tenant: TenantId, last: number): Promise<void> {
  for (;;) {
    const { numDeletedRows } = await logs
      .deleteFrom('logs')
      .where('id', 'in', (sql) =>
        sql
          .selectFrom('logs')
          .select('id')
          .where('tenant', '=', tenant)
          .where('id', '<=', last)
          .orderBy('id')
          .limit(DELETE_ROWS),
      )
      .executeTakeFirstOrThrow();
    if (Number(numDeletedRows) < DELETE_ROWS) return;
    await nextTurn();
  }
}

function rowOf(record: LogRecord): Omit<LogsTable, 'id'> {
  return {
    at: record.at,
    tenant: record.tenant,
    fn: record.fn,
    revision: record.revision,
    invocation: record.invocation,
    source: record.source,
    level: record.level,
    // PostgreSQL refuses NUL in text, and a line of a log has no use for it.
    text: record.text.replaceAll('\0', '\u2400'),
  };
}

function recordOf(row: Selectable<LogsTable>): LogRecord & { readonly id: number } {
  return {
    id: Number(row.id),
    at: Number(row.at),
    tenant: row.tenant as TenantId,
    fn: row.fn as FunctionName,
    revision: row.revision as RevisionId | null,
    invocation: row.invocation,
    source: row.source as LogRecord['source'],
    level: row.level as LogRecord['level'],
    text: row.text,
  };
}
