#!/usr/bin/env node
/** `npx berth …`: runs the command on the pinned Node.js 24, whatever Node.js the machine has. Plain JavaScript for Node 20. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { noPinnedNode, pinnedNode } from '../scripts/pinned-node.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const main = join(root, 'src/cli/main.ts');
const node = pinnedNode(root);

if (!existsSync(join(root, 'node_modules/commander')))
  fail('the node modules are not installed; run "npm start" or "npm ci" in this folder first.');
else if (node === null) fail(noPinnedNode);
else if (Number(process.versions.node.split('.')[0]) >= 24) await import('../src/cli/main.ts');
else runOn(node);

function fail(sentence) {
  process.stderr.write(`berth: ${sentence}\n`);
  process.exitCode = 1;
}

function runOn(command) {
  const child = spawn(command, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  // A terminal signals the child as well, so this one is for a child that has not heard it.
  process.on('SIGINT', () => setTimeout(() => child.kill('SIGINT'), 200).unref());
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.once('error', (error) => fail(`${command} does not start (${error.message}).`));
  child.once('exit', (code, signal) => (process.exitCode = code ?? 128 + constants.signals[signal]));
}
