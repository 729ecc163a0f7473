/** Where sockets and records of live sandboxes are: short (a Unix socket's path has 107 bytes at most, unix(7)) and off the data. */
import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ConfigError } from '../config/config-error.ts';
import { removeTree } from '../kernel/tree-removal.ts';

export interface RunDirOptions {
  readonly dataDir: string;
  /** effective user id */
  readonly uid: number;
  readonly runtimeDir: string | undefined;
}

/** The same data folder always gives the same run folder, so that a restarted platform finds what a killed one left. */
export function runDirFor({ dataDir, uid, runtimeDir }: RunDirOptions): string {
  const name = createHash('sha256').update(realpathSync(dataDir)).digest('hex').slice(0, 12);
  return uid === 0 ? join('/run', `berth-${name}`) : join(runtimeDir ?? tmpdir(), `berth-${uid}-${name}`);
}

const MODE = 0o711;
const WRITABLE_BY_OTHERS = 0o022;

/**
 * Sandboxes of other uids must be able to pass through, not to list.
 * @throws ConfigError when somebody else has put something there: in /tmp everybody could
 */
export function makeRunDir(path: string, uid: number): void {
  mkdirSync(path, { recursive: true, mode: MODE });
  const found = lstatSync(path);
  // The umask may have taken rights away.
  if (found.isDirectory() && found.uid === uid && (found.mode & WRITABLE_BY_OTHERS) === 0)
    return chmodSync(path, MODE);
  const what = `the run folder ${path} belongs to somebody else, or others can write in it`;
  throw new ConfigError([
    { where: 'dataDir', what, wayOut: 'Remove it, or set XDG_RUNTIME_DIR to a folder of your own.' },
  ]);
}

/** When every sandbox is gone. */
export function removeRunDir(path: string): Promise<void> {
  return removeTree(dirname(path), path);
}
