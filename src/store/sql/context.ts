/** What the parts of the SQL store share. */
import type { Kysely } from 'kysely';
import type { Clock } from '../../kernel/clock.ts';
import type { Sealer } from '../sealer.ts';
import type { Page } from '../store.ts';
import type { Schema } from './schema.ts';
import type { StoreLog, Writer } from './writer.ts';

export interface StoreContext {
  readonly db: Kysely<Schema>;
  /** Where the table `logs` is; SQLite keeps it in a file of its own. */
  readonly logs: Kysely<Schema>;
  readonly writer: Writer;
  readonly sealer: Sealer;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: StoreLog;
}

const MAX_PAGE_ROWS = 10_000;

export function rowsOf(page: Pick<Page, 'limit'>): number {
  return Math.min(Math.max(1, Math.trunc(page.limit)), MAX_PAGE_ROWS);
}

/** Database numbers: PostgreSQL's driver gives `bigint` as text. */
export function timeOf(value: number | string | null): number | null {
  return value === null ? null : Number(value);
}

/** JSON with keys in order, so that equal values are equal text. */
export function textOf(pairs: Readonly<Record<string, unknown>>): string {
  const entries = Object.entries(pairs).filter(([, value]) => value !== undefined);
  return JSON.stringify(Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))));
}
