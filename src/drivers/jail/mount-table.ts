/**
 * What `enter.sh` mounts, as a table for mount(8) (man 5 fstab): three mounts by one program take half as long as by three.
 * The table is a file without a name, since mount reads none from a pipe.
 */
import { chmodSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SandboxId } from '../../contracts/ids.ts';
import type { SandboxLimits } from '../driver.ts';

/** Any user may read it, the sandbox's is one of many; nobody but this process ever finds it. */
const MODE = 0o644;

export interface Mounts {
  /** Relative to the working directory of mount. */
  readonly lowerDirs: string;
  readonly limits: SandboxLimits;
  readonly channelDir: string;
}

/** Options of the sandbox's /tmp, for mounting and for changing it. */
export function tmpOptions(limits: SandboxLimits): string {
  return `size=${limits.tmpBytes},nr_inodes=${limits.tmpInodes},mode=1777,nosuid,nodev`;
}

export function mountTable({ lowerDirs, limits, channelDir }: Mounts): string {
  return [
    `root /mnt overlay lowerdir=${lowerDirs} 0 0`,
    `tmp /mnt/tmp tmpfs ${tmpOptions(limits)} 0 0`,
    `${escaped(channelDir)} /mnt/berth/channel none bind,ro 0 0`,
    '',
  ].join('\n');
}

/** @param dir where the file has its name for a moment. @returns its descriptor, for the caller to close */
export function openMountTable(dir: string, id: SandboxId, mounts: Mounts): number {
  const path = join(dir, `mounts-${id}`);
  try {
    writeFileSync(path, mountTable(mounts), { flag: 'wx' });
    // Whatever the umask is.
    chmodSync(path, MODE);
    return openSync(path, 'r');
  } finally {
    rmSync(path, { force: true });
  }
}

/** As getmntent(3) reads it back. */
function escaped(path: string): string {
  return path.replaceAll(
    /[ \t\n\\#]/g,
    (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
}
