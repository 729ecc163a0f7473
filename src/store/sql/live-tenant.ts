/** Which rows of `tenants` are tenants: one that is deleted stays there, marked, until its bulk is deleted, too. */
import type { Transaction } from 'kysely';
import type { TenantId } from '../../contracts/ids.ts';
import type { Schema } from './schema.ts';

/** `tenants.state` of one that was deleted. */
export const GONE = 'gone';

type Reader = Pick<Transaction<Schema>, 'selectFrom'>;

export async function isGone(db: Reader, id: TenantId): Promise<boolean> {
  const row = await db.selectFrom('tenants').select('state').where('id', '=', id).executeTakeFirst();
  return row?.state === GONE;
}

/** @returns undefined when there is no such tenant, or not any more */
export function liveTenant(
  db: Reader,
  id: TenantId,
): Promise<{ readonly function_count: number } | undefined> {
  return db
    .selectFrom('tenants')
    .select('function_count')
    .where('id', '=', id)
    .where('state', '!=', GONE)
    .executeTakeFirst();
}
