/**
 * What runs beside a service in its container, whatever image that is: our Node with the libraries that it is linked
 * with, and the keeper, in a volume that is mounted read-only. Nothing of it needs anything of the image.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { tarArchive, type TarEntry } from '../image/tar.ts';
import { librariesOf } from '../root/shared-libraries.ts';
import type { Architecture } from '../seccomp/seccomp-compiler.ts';

export const KEEPER_PATH = '/berth/keeper';
const HASH_DIGITS = 12;

export interface KeeperFiles {
  /** Of all that is in it. */
  readonly hash: string;
  /** Name of the dynamic loader: ld.so(8) starts Node with these libraries and no others. */
  readonly loader: string;
  /** Below `folder`. */
  readonly entries: (folder: string) => readonly TarEntry[];
}

/** Reads all files once to hash them. @throws RangeError when a library of Node is not on this host */
export function keeperFiles(source: {
  readonly nodePath: string;
  readonly keeperFile: string;
  readonly architecture: Architecture;
}): KeeperFiles {
  const [loader, ...libraries] = librariesOf(source.nodePath, source.architecture);
  if (loader === undefined) throw new RangeError(`${source.nodePath} is linked statically`);
  const keeper = readFileSync(source.keeperFile);
  const entries = (folder: string): readonly TarEntry[] => [
    ...[loader, ...libraries].map((from) => fileEntry(`${folder}/lib/${basename(from)}`, from)),
    fileEntry(`${folder}/node`, source.nodePath),
    { path: `${folder}/keeper.cjs`, mode: 0o644, content: { kind: 'bytes', bytes: keeper } },
  ];
  const hash = createHash('sha256');
  for (const chunk of tarArchive(entries('keeper'))) hash.update(chunk);
  return { hash: hash.digest('hex').slice(0, HASH_DIGITS), loader: basename(loader), entries };
}

export function keeperCommand(loader: string, args: readonly string[]): readonly string[] {
  const lib = `${KEEPER_PATH}/lib`;
  return [
    `${lib}/${loader}`,
    '--library-path',
    lib,
    `${KEEPER_PATH}/node`,
    `${KEEPER_PATH}/keeper.cjs`,
    ...args,
  ];
}

function fileEntry(path: string, from: string): TarEntry {
  return { path, mode: 0o755, content: { kind: 'file', from } };
}
