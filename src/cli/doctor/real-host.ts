/** The machine that the command runs on. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Host } from './finding.ts';

const RUN_MS = 10_000;
const TOOLS_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
/** nobody; sandboxes are started by ordinary users, too */
const ORDINARY = { uid: 65_534, gid: 65_534 };

export function realHost(dataDir: string): Host {
  const isRoot = process.geteuid?.() === 0;
  return {
    isRoot,
    nodeVersion: process.version,
    dataDir,
    read: (path) => attempt(() => readFileSync(path, 'utf8').trim()),
    isWritable: (path) => attempt(() => accessSync(path, constants.W_OK)) !== null,
    run(command, ...args) {
      const { status, stdout } = spawnSync(command, args, {
        ...(isRoot ? ORDINARY : {}),
        cwd: '/',
        env: { PATH: TOOLS_PATH, LANG: 'C' },
        encoding: 'utf8',
        timeout: RUN_MS,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      return status === 0 ? stdout : null;
    },
    freeBytes: freeBytesAt,
  };
}

/** The folder may not be there yet: then where it will be made. */
function freeBytesAt(path: string): number | null {
  const found = attempt(() => statfsSync(path));
  if (found !== null) return found.bavail * found.bsize;
  return dirname(path) === path ? null : freeBytesAt(dirname(path));
}

/** null where the machine says no: that is an answer, and the check words it. undefined becomes true. */
function attempt<T>(look: () => T): T | null {
  try {
    return look();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return null;
  }
}
