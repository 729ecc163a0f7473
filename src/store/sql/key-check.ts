/** A value sealed at first start: it tells at once when the platform is started with another master key. */
import type { Kysely } from 'kysely';
import { SealBrokenError, type Sealer } from '../sealer.ts';
import { StoreOpenError } from '../store-open-error.ts';
import type { Schema } from './schema.ts';

const FACT = 'key-check';
const PLAIN = 'berth';

/** @throws StoreOpenError when the database was sealed under another key */
export async function checkMasterKey(db: Kysely<Schema>, sealer: Sealer, place: string): Promise<void> {
  await db
    .insertInto('store_facts')
    .values({ name: FACT, value: await sealer.sealText(['check'], PLAIN) })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .execute();
  const { value } = await db
    .selectFrom('store_facts')
    .select('value')
    .where('name', '=', FACT)
    .executeTakeFirstOrThrow();
  try {
    await sealer.openText(['check'], value);
  } catch (error) {
    if (!(error instanceof SealBrokenError)) throw error;
    throw new StoreOpenError(
      `${place} was sealed under another master key. Give back that key (its file, or BERTH_MASTER_KEY)`,
      error,
    );
  }
}
