/**
 * What is deleted is gone at once, by one short transaction; its bulk follows in steps, because the data path shares the
 * thread and SQLite walks every page that it frees. A crash in between leaves what nobody sees, and the next start ends it.
 */
import type { Kysely, Transaction } from 'kysely';
import type { TenantId } from '../../contracts/ids.ts';
import { collectCode } from './code.ts';
import type { StoreContext } from './context.ts';
import { deleteLogsOf } from './logs.ts';
import { GONE, isGone } from './live-tenant.ts';
import type { Schema } from './schema.ts';

/** Functions that one step deletes, each with its revisions and secrets. */
const FUNCTIONS_PER_STEP = 20;
/** Contents that one step deletes; each may have tens of megabytes. */
const CODE_PER_STEP = 4;
const SWEEP_ROWS = 500;

/**
 * Deletes those of `hashes` that no revision uses any more. Never rejects.
 * @returns false when that failed: they stay until the next start
 */
export async function collectInSteps(
  { writer, log }: StoreContext,
  tenant: TenantId,
  hashes: readonly string[],
): Promise<boolean> {
  try {
    for (let start = 0; start < hashes.length; start += CODE_PER_STEP) {
      const step = hashes.slice(start, start + CODE_PER_STEP);
      await writer.write((transaction) => collectCode(transaction, tenant, step));
    }
    return true;
  } catch (error) {
    log.warn({ err: error, tenant }, 'code that nothing uses any more stays until the next start');
    return false;
  }
}

/** All that a tenant who is marked as gone had, and the mark. Repeatable. @throws BerthError STORE_UNAVAILABLE */
export async function finishTenant({ writer, logs }: StoreContext, tenant: TenantId): Promise<void> {
  while (await writer.write((transaction) => deleteSome(transaction, tenant)));
  await deleteLogsOf(logs, tenant);
}

/** @returns false when nothing is left; another who had the same name since is not touched */
async function deleteSome(transaction: Transaction<Schema>, tenant: TenantId): Promise<boolean> {
  if (!(await isGone(transaction, tenant))) return false;
  const functions = await transaction
    .selectFrom('functions')
    .select('name')
    .where('tenant', '=', tenant)
    .limit(FUNCTIONS_PER_STEP)
    .execute();
  if (functions.length > 0) {
    const names = functions.map(({ name }) => name);
    await transaction
      .deleteFrom('functions')
      .where('tenant', '=', tenant)
      .where('name', 'in', names)
      .execute();
    return true;
  }
  const code = await transaction
    .selectFrom('code')
    .select('hash')
    .where('tenant', '=', tenant)
    .limit(CODE_PER_STEP)
    .execute();
  if (code.length > 0) {
    const hashes = code.map(({ hash }) => hash);
    await transaction.deleteFrom('code').where('tenant', '=', tenant).where('hash', 'in', hashes).execute();
    return true;
  }
  await transaction.deleteFrom('tenants').where('id', '=', tenant).execute();
  return false;
}

/** What a crash has cut off. A store that cannot do it yet serves all the same: nobody sees what is left. */
export async function finishDeletions(context: StoreContext): Promise<void> {
  const { db, log } = context;
  try {
    const gone = await db.selectFrom('tenants').select('id').where('state', '=', GONE).execute();
    for (const { id } of gone) await finishTenant(context, id as TenantId);
    await sweepCode(context);
  } catch (error) {
    log.warn({ err: error }, 'what was deleted before the last end is not removed yet');
  }
}

async function sweepCode(context: StoreContext): Promise<void> {
  for (;;) {
    const rows = await unusedCode(context.db);
    for (const [tenant, own] of Map.groupBy(rows, (row) => row.tenant)) {
      const hashes = own.map(({ hash }) => hash);
      if (!(await collectInSteps(context, tenant as TenantId, hashes))) return;
    }
    if (rows.length < SWEEP_ROWS) return;
  }
}

function unusedCode(db: Kysely<Schema>): Promise<{ readonly tenant: string; readonly hash: string }[]> {
  return db
    .selectFrom('code')
    .select(['tenant', 'hash'])
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('code_refs')
            .select('role')
            .whereRef('code_refs.tenant', '=', 'code.tenant')
            .whereRef('code_refs.hash', '=', 'code.hash'),
        ),
      ),
    )
    .limit(SWEEP_ROWS)
    .execute();
}
