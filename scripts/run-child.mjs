/** Runs one child for as long as it lives, passes signals on, and ends as it ended. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/** A terminal signals the whole group and npm passes the signal on as well: within this time it is one signal. */
const SAME_SIGNAL_MS = 1_000;
const CHECK_MS = 500;

/**
 * @param ownSession the child does not get the terminal's signals itself, but only, and once, those passed on here
 * @returns the child's exit code, 128 and the signal's number when a signal ended it
 */
export function runChild(command, args, { env, cwd, ownSession }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env,
      cwd,
      detached: ownSession,
      stdio: [ownSession ? 'ignore' : 'inherit', 'inherit', 'inherit'],
    });
    let lastSignalAt = -Infinity;
    const pass = (signal) => {
      // Without a session of its own the child has the terminal's SIGINT already.
      if (!ownSession && signal === 'SIGINT') return;
      if (performance.now() - lastSignalAt < SAME_SIGNAL_MS) return;
      lastSignalAt = performance.now();
      child.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal);
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, pass);
    // npm was killed: its script has nobody left that could stop it. Started by hand, a parent may well leave.
    if (process.env.npm_lifecycle_event !== undefined) whenParentDies(() => pass('SIGTERM'));
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

function whenParentDies(call) {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    call();
  }, CHECK_MS).unref();
}
