/** Kysely's SQLite dialect on Node's own `node:sqlite`. https://nodejs.org/docs/latest-v24.x/api/sqlite.html */
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  SqliteAdapter,
  type SqliteDatabase,
  SqliteDialect,
  SqliteDriver,
  type SqliteStatement,
} from 'kysely';

/** Prepared statements that are kept; the store has fewer than this many short ones. */
const MAX_CACHED_STATEMENTS = 256;
/** Longer texts are inserts of many rows, each length another text. */
const MAX_CACHED_SQL_LENGTH = 2_000;

export function nodeSqliteDialect(database: DatabaseSync): Dialect {
  const config = { database: new PreparingDatabase(database) };
  const plain = new SqliteDialect(config);
  return {
    createDriver: () => new ImmediateDriver(config, database),
    createAdapter: () => new TransactionalDdlAdapter(),
    createQueryCompiler: () => plain.createQueryCompiler(),
    createIntrospector: (db) => plain.createIntrospector(db),
  };
}

/** SQLite does run schema changes in transactions; Kysely's adapter leaves them out, and a kill between two would be final. */
class TransactionalDdlAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

class ImmediateDriver extends SqliteDriver {
  readonly #database: DatabaseSync;

  constructor(config: { database: SqliteDatabase }, database: DatabaseSync) {
    super(config);
    this.#database = database;
  }

  /** Takes the write lock at once: a lock upgraded in the middle fails without waiting when another process wrote. */
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }

  /** After some errors (disk full, I/O) SQLite has rolled back itself. https://www.sqlite.org/lang_transaction.html */
  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if (this.#database.isTransaction) await super.rollbackTransaction(connection);
  }
}

class PreparingDatabase implements SqliteDatabase {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, PreparedStatement>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  prepare(sql: string): SqliteStatement {
    const cached = this.#statements.get(sql);
    if (cached !== undefined) return cached;
    const statement = new PreparedStatement(this.#database.prepare(sql));
    // A schema change can alter a statement's columns, so only data statements are kept.
    if (sql.length <= MAX_CACHED_SQL_LENGTH && /^(?:select|insert|update|delete)\b/i.test(sql)) {
      if (this.#statements.size >= MAX_CACHED_STATEMENTS) this.#statements.clear();
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  close(): void {
    this.#statements.clear();
    if (this.#database.isOpen) this.#database.close();
  }
}

class PreparedStatement implements SqliteStatement {
  readonly reader: boolean;
  readonly #statement: StatementSync;

  constructor(statement: StatementSync) {
    this.#statement = statement;
    this.reader = statement.columns().length > 0;
  }

  all(parameters: ReadonlyArray<unknown>): unknown[] {
    return this.#statement.all(...(parameters as SQLInputValue[]));
  }

  run(parameters: ReadonlyArray<unknown>): { changes: number | bigint; lastInsertRowid: number | bigint } {
    return this.#statement.run(...(parameters as SQLInputValue[]));
  }

  iterate(parameters: ReadonlyArray<unknown>): IterableIterator<unknown> {
    return this.#statement.iterate(...(parameters as SQLInputValue[])) as IterableIterator<unknown>;
  }
}
