/** The Node.js that Berth runs on: a dependency, so that it does not matter which one the machine has. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const MAJOR = 24;

/** @returns the path of Node 24, or null where there is none for this machine */
export function pinnedNode(root) {
  const candidate = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  if (existsSync(candidate)) return candidate;
  return Number(process.versions.node.split('.')[0]) >= MAJOR ? process.execPath : null;
}

export const noPinnedNode = `there is no packaged Node.js ${MAJOR} for ${process.platform}-${process.arch}; install Node.js ${MAJOR} or newer and try again.`;

/** The environment in which `node` and the tools of node_modules are those of this folder. */
export function pinnedEnvironment(root, node) {
  const bin = join(root, 'node_modules', '.bin');
  const path = [bin, join(node, '..'), ...(process.env.PATH ?? '').split(delimiter)];
  return { ...process.env, PATH: [...new Set(path)].join(delimiter) };
}
