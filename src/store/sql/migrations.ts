/**
 * The one list of migrations. Each runs on SQLite and PostgreSQL: only Kysely's schema builder, and what differs comes
 * in as `SchemaTypes`. A migration that was released is never changed; names sort in the order of running.
 */
import type { ColumnDefinitionBuilder, CreateTableBuilder, Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';
import type { Schema } from './schema.ts';

/** `main`: must survive anything. `logs`: best effort; SQLite keeps them in a file of their own. */
export type MigrationPart = 'main' | 'logs';

export interface SchemaTypes {
  /** Type and definition of a column whose ascending number the database gives. */
  readonly autoNumber: {
    readonly type: 'integer' | 'bigint';
    define(column: ColumnDefinitionBuilder): ColumnDefinitionBuilder;
  };
}

export interface PartMigration {
  readonly name: string;
  readonly part: MigrationPart;
  up(db: Kysely<Schema>, types: SchemaTypes): Promise<void>;
}

const required = (column: ColumnDefinitionBuilder): ColumnDefinitionBuilder => column.notNull();

export const migrations: readonly PartMigration[] = [
  {
    name: '0001-main',
    part: 'main',
    async up(db) {
      await createTenants(db);
      await createFunctions(db);
      await createRevisions(db);
      await createCode(db);
      await createSecrets(db);
      await createKeys(db);
    },
  },
  { name: '0001-logs', part: 'logs', up: createLogs },
  { name: '0002-egress', part: 'main', up: addEgress },
  { name: '0003-kinds', part: 'main', up: addKinds },
  { name: '0004-services', part: 'main', up: addServices },
];

/** Those of `parts` as Kysely's Migrator takes them. */
export function migrationsOf(
  parts: readonly MigrationPart[],
  types: SchemaTypes,
): Readonly<Record<string, Migration>> {
  const chosen = migrations.filter(({ part }) => parts.includes(part));
  return Object.fromEntries(chosen.map((one) => [one.name, { up: (db) => one.up(db, types) }]));
}

async function createTenants(db: Kysely<Schema>): Promise<void> {
  await db.schema
    .createTable('tenants')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('name', 'text', required)
    .addColumn('state', 'text', required)
    .addColumn('limits', 'text', required)
    .addColumn('tokens_valid_from', 'bigint', required)
    .addColumn('function_count', 'integer', required)
    .addColumn('created_at', 'bigint', required)
    .addColumn('updated_at', 'bigint', required)
    .execute();
  await db.schema
    .createTable('store_facts')
    .addColumn('name', 'text', (column) => column.primaryKey().notNull())
    .addColumn('value', 'text', required)
    .execute();
}

async function createFunctions(db: Kysely<Schema>): Promise<void> {
  await db.schema
    .createTable('functions')
    .addColumn('tenant', 'text', (column) => column.notNull().references('tenants.id').onDelete('cascade'))
    .addColumn('name', 'text', required)
    .addColumn('access', 'text', required)
    .addColumn('active_revision', 'text')
    .addColumn('env', 'text', required)
    .addColumn('meta', 'text', required)
    .addColumn('webtask', 'text')
    .addColumn('version', 'integer', required)
    .addColumn('last_number', 'integer', required)
    .addColumn('created_at', 'bigint', required)
    .addColumn('updated_at', 'bigint', required)
    .addPrimaryKeyConstraint('functions_key', ['tenant', 'name'])
    .execute();
}

async function createRevisions(db: Kysely<Schema>): Promise<void> {
  await ofFunction(db.schema.createTable('revisions'), 'revisions')
    .addColumn('id', 'text', required)
    .addColumn('number', 'integer', required)
    .addColumn('form', 'text', required)
    .addColumn('is_form_fixed', 'integer', required)
    .addColumn('module_kind', 'text', required)
    .addColumn('language', 'text', required)
    .addColumn('evaluate', 'text', required)
    .addColumn('filename', 'text', required)
    .addColumn('source_bytes', 'integer', required)
    .addColumn('created_at', 'bigint', required)
    .addPrimaryKeyConstraint('revisions_key', ['tenant', 'fn', 'id'])
    .addUniqueConstraint('revisions_number', ['tenant', 'fn', 'number'])
    .execute();
}

async function createCode(db: Kysely<Schema>): Promise<void> {
  await db.schema
    .createTable('code')
    .addColumn('tenant', 'text', (column) => column.notNull().references('tenants.id').onDelete('cascade'))
    .addColumn('hash', 'text', required)
    .addColumn('encoding', 'text', required)
    .addColumn('content', 'text', required)
    .addPrimaryKeyConstraint('code_key', ['tenant', 'hash'])
    .execute();
  await db.schema
    .createTable('code_refs')
    .addColumn('tenant', 'text', required)
    .addColumn('fn', 'text', required)
    .addColumn('revision', 'text', required)
    .addColumn('role', 'text', required)
    .addColumn('hash', 'text', required)
    .addPrimaryKeyConstraint('code_refs_key', ['tenant', 'fn', 'revision', 'role'])
    .addForeignKeyConstraint(
      'code_refs_revision',
      ['tenant', 'fn', 'revision'],
      'revisions',
      ['tenant', 'fn', 'id'],
      (constraint) => constraint.onDelete('cascade'),
    )
    .addForeignKeyConstraint('code_refs_code', ['tenant', 'hash'], 'code', ['tenant', 'hash'])
    .execute();
  await db.schema.createIndex('code_refs_hash').on('code_refs').columns(['tenant', 'hash']).execute();
}

async function createSecrets(db: Kysely<Schema>): Promise<void> {
  await ofFunction(db.schema.createTable('secrets'), 'secrets')
    .addColumn('name', 'text', required)
    .addColumn('sealed', 'text', required)
    .addPrimaryKeyConstraint('secrets_key', ['tenant', 'fn', 'name'])
    .execute();
}

async function createKeys(db: Kysely<Schema>): Promise<void> {
  await db.schema
    .createTable('tenant_keys')
    .addColumn('tenant', 'text', (column) => column.notNull().references('tenants.id').onDelete('cascade'))
    .addColumn('id', 'text', required)
    .addColumn('kind', 'text', required)
    .addColumn('sealed', 'text')
    .addColumn('url', 'text')
    .addColumn('created_at', 'bigint', required)
    .addColumn('revoked_at', 'bigint')
    .addPrimaryKeyConstraint('tenant_keys_key', ['tenant', 'id'])
    .execute();
  await db.schema
    .createTable('platform_keys')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('sealed', 'text', required)
    .addColumn('created_at', 'bigint', required)
    .addColumn('retired_at', 'bigint')
    .addColumn('revoked_at', 'bigint')
    .execute();
  await db.schema
    .createTable('revoked_tokens')
    .addColumn('jti', 'text', (column) => column.primaryKey().notNull())
    .addColumn('expires_at', 'bigint')
    .execute();
  await db.schema.createIndex('revoked_tokens_expiry').on('revoked_tokens').column('expires_at').execute();
}

async function addEgress(db: Kysely<Schema>): Promise<void> {
  await db.schema
    .alterTable('tenants')
    .addColumn('egress', 'text', (column) => column.notNull().defaultTo('"public"'))
    .execute();
  await db.schema
    .createTable('usage')
    .addColumn('tenant', 'text', (column) => column.notNull().references('tenants.id').onDelete('cascade'))
    .addColumn('day', 'text', required)
    .addColumn('name', 'text', required)
    .addColumn('amount', 'bigint', required)
    .addPrimaryKeyConstraint('usage_key', ['tenant', 'day', 'name'])
    .execute();
}

/** How strong a tenant's wall is, and on which Node a revision runs. */
async function addKinds(db: Kysely<Schema>): Promise<void> {
  await db.schema
    .alterTable('tenants')
    .addColumn('isolation', 'text', (column) => column.notNull().defaultTo('standard'))
    .execute();
  await db.schema.alterTable('functions').addColumn('node_range', 'text').execute();
  await db.schema.alterTable('revisions').addColumn('node_range', 'text').execute();
}

async function addServices(db: Kysely<Schema>): Promise<void> {
  await db.schema
    .createTable('services')
    .addColumn('tenant', 'text', (column) => column.notNull().references('tenants.id').onDelete('cascade'))
    .addColumn('name', 'text', required)
    .addColumn('kind', 'text', required)
    .addColumn('wanted', 'text', required)
    .addColumn('volume', 'text', required)
    .addColumn('memory_bytes', 'bigint', required)
    .addColumn('sealed', 'text', required)
    .addColumn('created_at', 'bigint', required)
    .addPrimaryKeyConstraint('services_key', ['tenant', 'name'])
    .execute();
}

async function createLogs(db: Kysely<Schema>, types: SchemaTypes): Promise<void> {
  await db.schema
    .createTable('logs')
    .addColumn('id', types.autoNumber.type, (column) => types.autoNumber.define(column))
    .addColumn('at', 'bigint', required)
    .addColumn('tenant', 'text', required)
    .addColumn('fn', 'text', required)
    .addColumn('revision', 'text')
    .addColumn('invocation', 'text')
    .addColumn('source', 'text', required)
    .addColumn('level', 'text', required)
    .addColumn('text', 'text', required)
    .execute();
  await db.schema.createIndex('logs_tenant').on('logs').columns(['tenant', 'id']).execute();
  await db.schema.createIndex('logs_function').on('logs').columns(['tenant', 'fn', 'id']).execute();
  await db.schema.createIndex('logs_invocation').on('logs').columns(['tenant', 'invocation', 'id']).execute();
}

/** The two columns of what belongs to a function and goes with it. */
function ofFunction<T extends string>(
  table: CreateTableBuilder<T>,
  name: string,
): CreateTableBuilder<T, 'tenant' | 'fn'> {
  return table
    .addColumn('tenant', 'text', required)
    .addColumn('fn', 'text', required)
    .addForeignKeyConstraint(
      `${name}_function`,
      ['tenant', 'fn'],
      'functions',
      ['tenant', 'name'],
      (constraint) => constraint.onDelete('cascade'),
    );
}
