/** The store in two SQLite files: `berth.db`, which survives anything, and `logs.db`, which is best effort. */
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Kysely, sql } from 'kysely';
import type { Clock } from '../../kernel/clock.ts';
import type { MasterKey } from '../master-key.ts';
import { Sealer } from '../sealer.ts';
import { finishDeletions } from '../sql/deletion.ts';
import { checkMasterKey } from '../sql/key-check.ts';
import { migrate } from '../sql/migrate.ts';
import type { MigrationPart, SchemaTypes } from '../sql/migrations.ts';
import type { Schema } from '../sql/schema.ts';
import { sqlStore } from '../sql/sql-store.ts';
import { type StoreLog, Writer } from '../sql/writer.ts';
import { StoreOpenError } from '../store-open-error.ts';
import type { Store } from '../store.ts';
import { nodeSqliteDialect } from './node-sqlite-dialect.ts';
import { LOGS_FILE, MAIN_FILE } from './sqlite-files.ts';

export interface SqliteStoreOptions {
  /** Made when it is not there, mode 0700; the files in it have mode 0600. */
  readonly dir: string;
  readonly masterKey: MasterKey;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: StoreLog;
}

/** How long opening waits for another process that writes, as an old and a new server do during an upgrade. */
const OPEN_BUSY_MS = 5_000;
/** How long a statement waits later: it blocks every request meanwhile. `patience.ts` does the rest. */
const BUSY_MS = 10;
const MAX_WAL_BYTES = 64 * 1024 * 1024;

const sqliteTypes: SchemaTypes = {
  autoNumber: { type: 'integer', define: (column) => column.primaryKey().autoIncrement() },
};

/** @throws StoreOpenError when a file is damaged, made by a newer Berth, or sealed under another master key */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const { dir, clock, log } = options;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const sealer = new Sealer(options.masterKey);
  const db = await openFile(join(dir, MAIN_FILE), { synchronous: 'FULL', part: 'main' });
  let logs;
  try {
    await checkMasterKey(db, sealer, join(dir, MAIN_FILE));
    logs = await openLogs(join(dir, LOGS_FILE), options);
    await syncFolder(dir);
    for (const each of [db, logs]) await sql.raw(`pragma busy_timeout = ${BUSY_MS}`).execute(each);
  } catch (error) {
    await logs?.destroy();
    await db.destroy();
    throw error;
  }
  const context = { db, logs, writer: new Writer(db, log), sealer, clock, log };
  await finishDeletions(context);
  return sqlStore(context);
}

interface FileOptions {
  readonly synchronous: 'FULL' | 'NORMAL';
  readonly part: MigrationPart;
}

async function openFile(file: string, options: FileOptions): Promise<Kysely<Schema>> {
  await restrict(file);
  const database = connect(file, options);
  const db = new Kysely<Schema>({ dialect: nodeSqliteDialect(database) });
  try {
    await migrate(db, { parts: [options.part], types: sqliteTypes, place: file });
  } catch (error) {
    await db.destroy();
    if (database.isOpen) database.close();
    throw isDamage(error) ? damaged(file, error) : error;
  }
  return db;
}

function connect(file: string, options: FileOptions): DatabaseSync {
  let database;
  try {
    database = new DatabaseSync(file, { timeout: OPEN_BUSY_MS, enableForeignKeyConstraints: true });
    database.exec(`pragma journal_mode = wal; pragma synchronous = ${options.synchronous};`);
    database.exec(`pragma journal_size_limit = ${MAX_WAL_BYTES}; pragma trusted_schema = off;`);
    return database;
  } catch (error) {
    database?.close();
    throw isDamage(error) ? damaged(file, error) : new StoreOpenError(`${file} cannot be opened`, error);
  }
}

/** Logs are best effort: a damaged file is put aside, and the platform starts. */
async function openLogs(file: string, { clock, log }: SqliteStoreOptions): Promise<Kysely<Schema>> {
  const options = { synchronous: 'NORMAL', part: 'logs' } as const;
  try {
    return await openFile(file, options);
  } catch (error) {
    if (!isDamage(error)) throw error;
    const aside = `${file}.damaged-${clock.now()}`;
    await rename(file, aside);
    for (const suffix of ['-wal', '-shm']) await rm(file + suffix, { force: true });
    log.warn({ err: error, aside }, 'the database of logs is damaged: it was put aside and a new one made');
    return openFile(file, options);
  }
}

/** SQLite makes its further files (`-wal`, `-shm`) with the mode of the database. */
async function restrict(file: string): Promise<void> {
  const handle = await open(file, 'a', 0o600);
  await handle.chmod(0o600).finally(() => handle.close());
}

/** A new file is only there for good when its folder is on the disk too. */
async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir);
  await folder.sync().finally(() => folder.close());
}

function damaged(file: string, cause: unknown): StoreOpenError {
  return new StoreOpenError(`${file} is damaged or no SQLite database. Restore it from a backup`, cause);
}

/** SQLITE_CORRUPT (11) or SQLITE_NOTADB (26), here or in a cause. https://www.sqlite.org/rescode.html */
function isDamage(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('errcode' in cause && [11, 26].includes(Number(cause.errcode) & 0xff)) return true;
  }
  return false;
}
