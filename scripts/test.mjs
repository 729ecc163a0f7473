/** `npm test`: installs what is missing, then runs the tests on the pinned Node.js. Arguments go to vitest (`-- --project unit`). */
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { ensureBubblewrap } from './bubblewrap.mjs';
import { ensureNodeModules } from './node-modules.mjs';
import { noPinnedNode, pinnedEnvironment, pinnedNode } from './pinned-node.mjs';
import { runChild } from './run-child.mjs';
import { say } from './say.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
process.exitCode = await test(process.argv.slice(2));

async function test(argv) {
  if (!ensureNodeModules(root)) return 1;
  const node = pinnedNode(root);
  if (node === null) {
    say(noPinnedNode);
    return 1;
  }
  // Tests that need it are skipped without it, and say so.
  ensureBubblewrap();
  return runChild(node, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...argv], {
    env: pinnedEnvironment(root, node),
    cwd: root,
    ownSession: false,
  });
}
