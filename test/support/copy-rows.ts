/** SQL that fills a table with copies of its rows: what a thousand real deploys would take the disk too long for. */
import type { DatabaseSync } from 'node:sqlite';

/** @param changed SQL expressions of the columns that differ in the copy; they may use what `from` joins */
export function copyRows(
  database: DatabaseSync,
  table: string,
  { changed, from }: { readonly changed: Readonly<Record<string, string>>; readonly from: string },
): string {
  const columns = database.prepare('select name from pragma_table_info(?)').all(table);
  const values = columns.map(({ name }) => changed[String(name)] ?? `${table}.${String(name)}`);
  return `insert into ${table} select ${values.join(', ')} from ${table}, ${from};`;
}
