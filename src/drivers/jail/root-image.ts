/**
 * The root file system of all sandboxes of the jail, prepared once on the host and shown through a read-only overlay.
 * Directories are named by their content, so that an old and a new platform share the place.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock } from '../../kernel/clock.ts';
import { removeTree } from '../../kernel/tree-removal.ts';
import type { Architecture } from '../seccomp/seccomp-compiler.ts';
import { LAYOUT, NODE_PATH, type RootEntry, rootContents, RUNTIME_PATH } from '../root/root-entries.ts';
import { devices } from './bwrap-arguments.ts';

const DAY_MS = 24 * 3_600_000;
/** Images that no platform has used for so long are removed by the next start of one. */
const UNUSED_MS = 7 * DAY_MS;

export interface RootImage {
  /** Overlay layers, uppermost first, relative to the root directory: `lowerdir` of mount -t overlay. */
  readonly lowerDirs: string;
  readonly hasCertificates: boolean;
}

export interface RootImageOptions {
  readonly rootDir: string;
  readonly nodePath: string;
  readonly runtimeFile: string;
  readonly architecture: Architecture;
}

const links: Readonly<Record<string, string>> = {
  '/dev/fd': '/proc/self/fd',
  '/dev/stdin': '/proc/self/fd/0',
  '/dev/stdout': '/proc/self/fd/1',
  '/dev/stderr': '/proc/self/fd/2',
};

/** Makes what is missing. Repeatable; safe against a crash and against another platform doing the same. */
export async function prepareRootImage(options: RootImageOptions): Promise<RootImage> {
  mkdirSync(options.rootDir, { recursive: true });
  chmodSync(options.rootDir, 0o755);
  const { entries, hasCertificates } = rootContents(options.nodePath, options.architecture);
  const base = `base-${fingerprint(entries)}`;
  await makeOnce(options.rootDir, base, (at) => {
    for (const entry of entries) make(entry, join(at, entry.path));
    for (const name of devices) writeInto(join(at, '/dev', name), '');
    for (const [path, target] of Object.entries(links)) symlinkSync(target, join(at, path));
  });
  const code = readFileSync(options.runtimeFile);
  const runtime = `runtime-${createHash('sha256').update(code).digest('hex').slice(0, 16)}`;
  await makeOnce(options.rootDir, runtime, (at) => writeInto(join(at, RUNTIME_PATH), code));
  return { lowerDirs: `${runtime}:${base}`, hasCertificates };
}

/** What changes when a package update brings a new file; reading 120 MB at each start would be too slow. */
function fingerprint(entries: readonly RootEntry[]): string {
  const hash = createHash('sha256').update(`layout ${LAYOUT}\n`);
  for (const entry of entries) {
    if (entry.kind !== 'copy') continue;
    const { size, mtimeMs } = statSync(entry.from);
    hash.update(`${entry.from} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex').slice(0, 16);
}

/** Fills a directory and gives it its name when it is complete; one that is there already is in use again. */
export async function makeOnce(rootDir: string, name: string, fill: (at: string) => void): Promise<void> {
  const target = join(rootDir, name);
  if (existsSync(target)) return renew(target);
  const draft = join(rootDir, `draft-${randomBytes(6).toString('hex')}`);
  try {
    makeDirectory(draft);
    fill(draft);
    renameSync(draft, target);
  } catch (error) {
    await removeTree(rootDir, draft);
    if (!existsSync(target)) throw error;
  }
}

/** It is in use. */
function renew(path: string): void {
  const now = new Date();
  utimesSync(path, now, now);
}

/** While a platform runs, for weeks perhaps, another that starts must not take its images for unused. @returns what ends it */
export function keepInUse(
  { rootDir, names }: { readonly rootDir: string; readonly names: readonly string[] },
  clock: Pick<Clock, 'after'>,
): () => void {
  let cancel = (): void => undefined;
  const arm = (): void => {
    cancel = clock.after(DAY_MS, () => {
      arm();
      for (const name of names) if (existsSync(join(rootDir, name))) renew(join(rootDir, name));
    });
  };
  arm();
  return () => cancel();
}

function make(entry: RootEntry, target: string): void {
  if (entry.kind === 'directory') makeDirectory(target, entry.mode);
  else if (entry.kind === 'text') writeInto(target, entry.text);
  else if (entry.path === NODE_PATH) placeNode(entry.from, target);
  else place(entry.from, target);
}

function makeDirectory(path: string, mode = 0o755): void {
  if (existsSync(path)) return;
  makeDirectory(dirname(path));
  mkdirSync(path);
  // Not subject to the umask.
  chmodSync(path, mode);
}

export function writeInto(path: string, content: string | Buffer): void {
  makeDirectory(dirname(path));
  writeFileSync(path, content);
  chmodSync(path, 0o644);
}

function place(source: string, target: string): void {
  makeDirectory(dirname(target));
  copyFileSync(source, target);
  chmodSync(target, 0o755);
}

/** A hard link shares disk and page cache with the host's Node; on another file system, or with odd modes, a copy. */
function placeNode(source: string, target: string): void {
  makeDirectory(dirname(target));
  if ((statSync(source).mode & 0o005) !== 0o005) return place(source, target);
  try {
    linkSync(source, target);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'EMLINK') throw error;
    place(source, target);
  }
}

/** Called once everything in use was prepared, which renews its time. */
export async function removeUnusedImages(rootDir: string): Promise<void> {
  for (const name of await readdir(rootDir)) {
    if (!/^(base|runtime|launch|draft)-/.test(name)) continue;
    const path = join(rootDir, name);
    if (existsSync(path) && Date.now() - statSync(path).mtimeMs > UNUSED_MS) await removeTree(rootDir, path);
  }
}
