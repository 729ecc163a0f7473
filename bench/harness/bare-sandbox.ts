/** The least that a sandbox with Node does: `bwrap … node -e 0`, as unshared as our own, on the file system as it is. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ARGUMENTS = [
  '--unshare-all',
  '--die-with-parent',
  '--ro-bind',
  '/',
  '/',
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
