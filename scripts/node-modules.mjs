/** Installs the node modules when they are not what package-lock.json says. Plain JavaScript for Node 20: it runs before anything is there. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { say } from './say.mjs';

/** @returns true when the modules are there; a sentence says why if not */
export function ensureNodeModules(root) {
  const stampFile = join(root, 'node_modules', '.berth-stamp');
  const stamp = stampOf(root);
  if (read(stampFile) === stamp) return true;
  if (!isInstalled(root)) {
    say('installing node modules with npm ci …');
    if (!npmCi(root)) return false;
    say('node modules are installed.');
  }
  writeFileSync(stampFile, stamp);
  return true;
}

/** Changes with the lock file and with what decides about binary packages. */
function stampOf(root) {
  const hash = createHash('sha256').update(readFileSync(join(root, 'package-lock.json')));
  return `${hash.digest('hex')} ${process.platform}-${process.arch}\n`;
}

/** Compares with the list that npm itself writes into node_modules. Optional packages depend on the machine. */
function isInstalled(root) {
  const present = parse(read(join(root, 'node_modules', '.package-lock.json')));
  const wanted = parse(read(join(root, 'package-lock.json')));
  if (present === null || wanted === null) return false;
  return Object.entries(wanted.packages ?? {}).every(
    ([path, { version, optional }]) =>
      path === '' ||
      optional === true ||
      (present.packages?.[path]?.version === version && existsSync(join(root, path))),
  );
}

function npmCi(root) {
  // Install scripts of dependencies are not needed, so they do not run.
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--include=dev', '--include=optional'];
  const npm = process.env.npm_execpath;
  const [command, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  // Warnings about the machine's older Node are no news: everything runs on the pinned one.
  const quiet = ['--loglevel=error'];
  const result = spawnSync(command, [...first, ...args, ...quiet], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (result.status === 0) return true;
  say(
    `npm ci failed (${result.error?.message ?? `exit code ${result.status}`}). Run "npm ci" here to see why.`,
  );
  return false;
}

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null; // not there: then it is to be made
  }
}

function parse(text) {
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    return null; // half written by an install that was broken off
  }
}
