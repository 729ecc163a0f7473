/**
 * How the server's process gives up root: the words before its own command. `setpriv` changes user and group, drops every
 * capability and sets no_new_privs. Where folders above the server's files let nobody but root pass (a clone under /root,
 * mode 0700), the server gets a mount namespace of its own, in which such a folder shows those files and nothing else.
 */
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ConfigError } from '../config/config-error.ts';

const SCRIPT = join(import.meta.dirname, 'confine.sh');
const READABLE_BY_ALL = 0o004;
const PASSABLE_BY_ALL = 0o001;

export interface ConfinementOptions {
  readonly uid: number;
  /** Files and folders that the server opens by their path. */
  readonly needs: readonly string[];
  /** Empty folder for the time in which mounts are moved; only root can write above it. */
  readonly stashDir: string;
}

/** Words to put before the server's command. @throws ConfigError when the server could not read what it needs */
export function confinement({ uid, needs, stashDir }: ConfinementOptions): readonly string[] {
  const found = needs.map((path) => realpathSync(path));
  for (const path of found) requireReadable(path, uid);
  const covers = coversOf(found, uid);
  const drop = [
    'setpriv',
    `--reuid=${uid}`,
    `--regid=${uid}`,
    '--clear-groups',
    '--inh-caps=-all',
    '--ambient-caps=-all',
    '--bounding-set=-all',
    '--no-new-privs',
  ];
  if (covers.length === 0) return drop;
  const script = ['/bin/sh', '-c', readFileSync(SCRIPT, 'utf8'), 'berth-confine', stashDir];
  return ['unshare', '--mount', '--propagation=private', ...script, ...found, '--', ...covers, '--', ...drop];
}

/** The topmost folders that the user cannot pass through on its way to these paths. */
export function coversOf(paths: readonly string[], uid: number): readonly string[] {
  const covers = new Set<string>();
  for (const path of paths) {
    const closed = foldersAbove(path).find((folder) => !canPass(folder, uid));
    if (closed !== undefined) covers.add(closed);
  }
  return [...covers].filter((one) => ![...covers].some((other) => one.startsWith(`${other}/`)));
}

/** From the root down. */
function foldersAbove(path: string): string[] {
  const above: string[] = [];
  for (let at = dirname(path); at !== dirname(at); at = dirname(at)) above.unshift(at);
  return above;
}

function canPass(folder: string, uid: number): boolean {
  const { mode, uid: owner, gid } = statSync(folder);
  if (owner === uid) return (mode & (PASSABLE_BY_ALL << 6)) !== 0;
  if (gid === uid) return (mode & (PASSABLE_BY_ALL << 3)) !== 0;
  return (mode & PASSABLE_BY_ALL) !== 0;
}

function requireReadable(path: string, uid: number): void {
  const { mode, uid: owner, gid } = statSync(path);
  if (owner === uid || gid === uid || (mode & READABLE_BY_ALL) !== 0) return;
  const what = `${path} cannot be read by the user ${uid}, under whom the server runs`;
  throw new ConfigError([{ where: 'serverUid', what, wayOut: `Allow it: chmod -R go+rX ${path}` }]);
}

/** What the server opens by path: its program, its Node.js, its data. */
export function serverNeeds(options: {
  readonly projectRoot: string;
  readonly nodePath: string;
  readonly dataDir: string;
}): readonly string[] {
  const program = ['src', 'node_modules', 'package.json'].map((name) => join(options.projectRoot, name));
  return [...program.filter(existsSync), options.nodePath, options.dataDir];
}
