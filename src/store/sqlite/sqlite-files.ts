/** The names of the store's files, apart from the store: the supervisor asks for them and opens none. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export const MAIN_FILE = 'berth.db';
export const LOGS_FILE = 'logs.db';

/** Whether there is a database in `dir`, so that a master key that is gone must not be replaced by a new one. */
export function hasSqliteStore(dir: string): boolean {
  return existsSync(join(dir, MAIN_FILE));
}
