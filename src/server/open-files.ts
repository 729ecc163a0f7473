/** How many connections the gateway may take, so that sandboxes, database and the rest still find a descriptor. */
import { readFileSync } from 'node:fs';

const MOST = 20_000;
/** A listener and a connection for each sandbox. */
const FOR_EACH_SANDBOX = 2;
/** The program itself: database files, workers, esbuild, log. */
const FOR_THE_REST = 128;
/** Where there are few descriptors, sandboxes leave this part to connections. */
const LEAST_SHARE = 0.25;

export function connectionsWithin(openFiles: number, maxSandboxes: number): number {
  const left = openFiles - FOR_EACH_SANDBOX * maxSandboxes - FOR_THE_REST;
  return Math.min(MOST, Math.max(left, Math.floor(openFiles * LEAST_SHARE)));
}

/** The limit of this process in force (man 5 proc, /proc/pid/limits); Node has raised it to the hard one at its start. */
export function openFilesLimit(): number {
  const line = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
  return line === null || line[1] === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(line[1]);
}
