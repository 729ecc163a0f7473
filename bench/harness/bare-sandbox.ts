/** The least that a sandbox with Node does: `bwrap … node -e 0`, as unshared as our own, with what Node is linked with. */
import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ARGUMENTS = [
  '--unshare-all',
  '--die-with-parent',
  // Not the whole file system: what an engine mounts in it comes and goes, and bwrap fails for that.
  '--ro-bind',
  '/usr',
  '/usr',
  '--symlink',
  'usr/lib',
  '/lib',
  '--symlink',
  'usr/lib64',
  '/lib64',
  '--ro-bind',
  dirname(process.execPath),
  dirname(process.execPath),
  '--dev',
  '/dev',
  '--proc',
  '/proc',
];

/** From the start of bwrap to its end. */
export async function startBareSandbox(): Promise<void> {
  await run('bwrap', [...ARGUMENTS, process.execPath, '-e', '0']);
}

/** So many at a time, each started when another has ended. @returns how many ended, a second */
export async function bareSandboxesPerSecond(load: {
  readonly seconds: number;
  readonly atOnce: number;
}): Promise<number> {
  const end = performance.now() + load.seconds * 1_000;
  let ended = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() < end) {
      await startBareSandbox();
      if (performance.now() <= end) ended++;
    }
  };
  await Promise.all(Array.from({ length: load.atOnce }, lane));
  return ended / load.seconds;
}
