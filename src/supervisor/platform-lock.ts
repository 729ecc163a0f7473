/**
 * One platform a data folder: two would remove each other's sandboxes. The lock is SQLite's own lock on a file of its
 * own (fcntl), which the kernel drops when the process ends in whatever way.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

export class DataFolderInUse extends Error {
  override readonly name = 'DataFolderInUse';
}

/** Takes the lock of `dataDir`, making the folder (0700) if need be. @throws DataFolderInUse when another process holds it */
export function lockDataFolder(dataDir: string): { release(): void } {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const database = new DatabaseSync(join(dataDir, 'platform.lock'));
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    throw new DataFolderInUse(
      `another Berth runs on the data folder ${dataDir}; stop it, or set BERTH_DATA_DIR`,
      { cause: error },
    );
  }
  return { release: () => database.close() };
}
