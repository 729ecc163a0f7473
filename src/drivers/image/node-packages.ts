/**
 * The Node binaries that sandbox images are made from: the one that runs the platform, and those of `node-versions/<major>`
 * that are installed. Each is an npm package, pinned with its hash by the lock file beside it.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const versionsDir = fileURLToPath(new URL('../../../node-versions/', import.meta.url));

export interface NodePackage {
  readonly major: number;
  /** Where its package.json and lock file are. */
  readonly folder: string;
  readonly nodePath: string;
  readonly isInstalled: boolean;
}

/** Besides the platform's own, by version. */
export function nodePackages(): readonly NodePackage[] {
  return readdirSync(versionsDir)
    .filter((name) => /^\d+$/.test(name))
    .map((name) => {
      const folder = join(versionsDir, name);
      const nodePath = join(folder, `node_modules/node-linux-${process.arch}/bin/node`);
      return { major: Number(name), folder, nodePath, isInstalled: existsSync(nodePath) };
    })
    .sort((one, other) => one.major - other.major);
}

/** Of what is installed, the platform's own first. */
export function nodePaths(): readonly string[] {
  const others = nodePackages().filter(({ isInstalled }) => isInstalled);
  return [process.execPath, ...others.map(({ nodePath }) => nodePath)];
}
