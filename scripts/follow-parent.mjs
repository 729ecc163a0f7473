/**
 * Loaded before the supervisor when a wrapper started it (`node --import`): if the wrapper dies without a word (SIGKILL),
 * the supervisor ends as by SIGTERM, and with it server and sandboxes. The kernel's own means (PR_SET_PDEATHSIG) is not open to Node.
 */
import { isMainThread } from 'node:worker_threads';

const CHECK_MS = 500;
const GIVE_UP_AFTER_MS = 60_000;
const parent = Number(process.env.BERTH_FOLLOW_PID);
delete process.env.BERTH_FOLLOW_PID;

if (isMainThread && Number.isSafeInteger(parent) && parent > 1) {
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGTERM');
    setTimeout(() => process.exit(1), GIVE_UP_AFTER_MS).unref();
  }, CHECK_MS).unref();
}
