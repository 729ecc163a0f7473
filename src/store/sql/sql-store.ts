/** The store on any SQL database that Kysely speaks to. */
import { sql } from 'kysely';
import type { Store } from '../store.ts';
import type { StoreContext } from './context.ts';
import { functionStore } from './functions.ts';
import { keyStore } from './keys.ts';
import { logStore } from './logs.ts';
import { serviceStore } from './services.ts';
import { tenantStore } from './tenants.ts';
import { usageStore } from './usage.ts';

export function sqlStore(context: StoreContext): Store {
  const { db, logs, writer } = context;
  return {
    ...tenantStore(context),
    ...functionStore(context),
    ...keyStore(context),
    ...logStore(context),
    ...usageStore(context),
    ...serviceStore(context),
    onChange: (listener) => writer.onChange(listener),
    async ping() {
      await sql`select 1`.execute(db);
    },
    async close() {
      await writer.close();
      if (logs !== db) await logs.destroy();
      await db.destroy();
    },
  };
}
