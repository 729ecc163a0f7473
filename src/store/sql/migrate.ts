/** Brings a database to the newest schema, or says clearly why not. */
import type { Kysely } from 'kysely';
import { Migrator } from 'kysely/migration';
import { StoreOpenError } from '../store-open-error.ts';
import { migrationsOf, type MigrationPart, type SchemaTypes } from './migrations.ts';
import type { Schema } from './schema.ts';

/** `place` names the database in errors. @throws StoreOpenError when it is newer than this Berth, or a migration failed */
export async function migrate(
  db: Kysely<Schema>,
  options: { readonly parts: readonly MigrationPart[]; readonly types: SchemaTypes; readonly place: string },
): Promise<void> {
  const known = migrationsOf(options.parts, options.types);
  await refuseNewer(db, known, options.place);
  const migrator = new Migrator({ db, provider: { getMigrations: () => Promise.resolve({ ...known }) } });
  const { error } = await migrator.migrateToLatest();
  if (error === undefined) return;
  throw new StoreOpenError(`${options.place} could not be brought to the schema of this Berth`, error);
}

async function refuseNewer(
  db: Kysely<Schema>,
  known: Readonly<Record<string, unknown>>,
  place: string,
): Promise<void> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true });
  if (!tables.some(({ name }) => name === 'kysely_migration')) return;
  const log = db as unknown as Kysely<{ kysely_migration: { name: string } }>;
  const done = await log.selectFrom('kysely_migration').select('name').execute();
  const unknown = done.filter(({ name }) => !Object.hasOwn(known, name));
  if (unknown.length === 0) return;
  throw new StoreOpenError(
    `${place} was made by a newer Berth (it has the migration "${unknown[0]!.name}"). Start that version or a newer one`,
  );
}
