/** `npm start`: installs what is missing, then runs the platform on the pinned Node.js. Arguments are settings of the platform. */
import { fileURLToPath, pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { ensureBubblewrap, mayUseJail } from './bubblewrap.mjs';
import { ensureNodeModules } from './node-modules.mjs';
import { noPinnedNode, pinnedEnvironment, pinnedNode } from './pinned-node.mjs';
import { runChild } from './run-child.mjs';
import { say } from './say.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const argv = process.argv.slice(2);
/** Of a supervisor that was killed; its server and its sandboxes have ended with it. */
const RESTARTS = 5;
/** What Node makes of the sources: the next start has it ready. The supervisor may be root, so only its own user writes here. */
const compileCache = join(root, 'node_modules/.cache/berth');
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
  // Without it the platform says itself what it cannot do, and what to do about it.
  if (mayUseJail(argv, process.env)) ensureBubblewrap();
  const follow = pathToFileURL(join(root, 'scripts/follow-parent.mjs')).href;
  return runChild(node, ['--import', follow, join(root, 'src/supervisor/main.ts'), ...argv], {
    env: { NODE_COMPILE_CACHE: compileCache, ...env, BERTH_FOLLOW_PID: String(process.pid) },
    ownSession: true,
    restarts: RESTARTS,
  });
}
