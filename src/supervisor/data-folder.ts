/**
 * Who owns what in the data folder when the supervisor is root: the database files and the operator's token belong to
 * the server's user, all else stays root's, above all the master key. The folder itself is root's, with the server's group
 * and the sticky bit, so that the server makes and removes files of its own and cannot touch the others.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchownSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  type Stats,
} from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '../config/config-error.ts';

/** `berth.db`, `logs.db`, what SQLite keeps beside them, damaged ones that were put aside; the operator's token. */
const SERVERS_FILES = /^(?:berth\.db|logs\.db|admin-token$)/;
const FOLDER_MODE = 0o1770;
const WRITABLE_BY_OTHERS = 0o022;

/**
 * Repeatable: also for files that an older Berth, or a backup restored as root, has left as root's.
 * @throws ConfigError when something stands there that is no ordinary file
 */
export function giveDataFolder(dataDir: string, serverUid: number): void {
  for (const name of readdirSync(dataDir))
    if (SERVERS_FILES.test(name)) giveFile(join(dataDir, name), serverUid);
  chownSync(dataDir, 0, serverUid);
  chmodSync(dataDir, FOLDER_MODE);
}

/** The folder of root images and runtime is root's: what lies in it runs in every sandbox. @throws ConfigError */
export function requireOwnFolder(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (found.isDirectory() && found.uid === process.geteuid!() && (found.mode & WRITABLE_BY_OTHERS) === 0)
    return;
  throw refusal(path, 'is no folder that only the supervisor can write in');
}

/**
 * Not by its path: the server can put a link in its place, also a hard link to a file of root's. Once the file is open,
 * one name and an owner tell that it is what an honest server has there.
 */
function giveFile(path: string, serverUid: number): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const found = fstatSync(fd);
    if (!isPlain(found)) throw refusal(path, 'is no ordinary file with one name');
    if (found.uid === serverUid) return;
    if (found.uid !== 0) throw refusal(path, `belongs to the user ${found.uid}`);
    fchownSync(fd, serverUid, serverUid);
  } finally {
    closeSync(fd);
  }
}

function isPlain(found: Stats): boolean {
  return found.isFile() && found.nlink === 1;
}

function refusal(path: string, what: string): ConfigError {
  const wayOut = 'Look what it is, then put it right or move it away, and start again.';
  return new ConfigError([{ where: 'dataDir', what: `${path} ${what}`, wayOut }]);
}
