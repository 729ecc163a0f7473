/** `npm start`: installs what is missing, then runs the server on the pinned Node.js. Arguments go to the server. */
import { fileURLToPath, pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { ensureBubblewrap, mayUseJail } from './bubblewrap.mjs';
import { ensureNodeModules } from './node-modules.mjs';
import { noPinnedNode, pinnedEnvironment, pinnedNode } from './pinned-node.mjs';
import { runChild } from './run-child.mjs';
import { say } from './say.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const argv = process.argv.slice(2);
process.exitCode = await start();

async function start() {
  if (!ensureNodeModules(root)) return 1;
  const node = pinnedNode(root);
  if (node === null) {
    say(noPinnedNode);
    return 1;
  }
  const env = pinnedEnvironment(root, node);
  if (argv.includes('--help') || argv.includes('-h'))
    return runChild(node, [join(root, 'src/config/print-help.ts')], { env, ownSession: false });
  // Without it the server says itself what it cannot do, and what to do about it.
  if (mayUseJail(argv, process.env)) ensureBubblewrap();
  const follow = pathToFileURL(join(root, 'scripts/follow-parent.mjs')).href;
  return runChild(node, ['--import', follow, join(root, 'src/server/main.ts'), ...argv], {
    env: { ...env, BERTH_FOLLOW_PID: String(process.pid) },
    ownSession: true,
  });
}
