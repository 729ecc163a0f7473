/** Runs one child for as long as it lives, passes signals on, and ends as it ended. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from './say.mjs';

/** A terminal signals the whole group and npm passes the signal on as well: within this time it is one signal. */
const SAME_SIGNAL_MS = 1_000;
const CHECK_MS = 500;
/** With these it was asked to end; any other signal (SIGKILL, SIGSEGV) is a crash, or the kernel's for lack of memory. */
const ASKED = new Set(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']);
/** Who ends everything signals both at once, and the child's death may be seen before the own signal. */
const RESTART_AFTER_MS = 250;
/** A child that lived for so long has not failed at its start. */
const CALM_MS = 60_000;

/**
 * @param ownSession the child does not get the terminal's signals itself, but only, and once, those passed on here
 * @param restarts how many times in a row a child that crashed is started again
 * @param restartAfterMs in which a signal still keeps it from being started again
 * @returns the child's exit code, 128 and the signal's number when a signal ended it
 */
export async function runChild(command, args, options) {
  const { env, cwd, ownSession, restarts = 0, restartAfterMs = RESTART_AFTER_MS } = options;
  const signals = new PassedSignals(ownSession);
  for (let left = restarts; ; left--) {
    const startedAt = performance.now();
    const child = spawn(command, args, {
      env,
      cwd,
      detached: ownSession,
      stdio: [ownSession ? 'ignore' : 'inherit', 'inherit', 'inherit'],
    });
    signals.child = child;
    const { code, signal } = await ended(child);
    if (performance.now() - startedAt >= CALM_MS) left = restarts;
    const isCrash = signal !== null && !ASKED.has(signal);
    if (isCrash && left > 0) await passed(restartAfterMs, signals.any);
    if (!isCrash || left <= 0 || signals.any.aborted) return code ?? 128 + constants.signals[signal];
    say(`the platform was ended by ${signal}; it is started again.`);
  }
}

/** Resolves when the time is over, or at a signal. */
function passed(ms, signal) {
  return sleep(ms, undefined, { signal }).catch(() => undefined);
}

function ended(child) {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
}

class PassedSignals {
  child = null;
  #first = new AbortController();
  #ownSession;
  #lastAt = -Infinity;

  constructor(ownSession) {
    this.#ownSession = ownSession;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, (name) => this.#pass(name));
    // npm was killed: its script has nobody left that could stop it. Started by hand, a parent may well leave.
    if (process.env.npm_lifecycle_event !== undefined) whenParentDies(() => this.#pass('SIGTERM'));
  }

  /** Aborted by the first that was passed on. */
  get any() {
    return this.#first.signal;
  }

  #pass(signal) {
    // Without a session of its own the child has the terminal's SIGINT already.
    if (!this.#ownSession && signal === 'SIGINT') return;
    if (performance.now() - this.#lastAt < SAME_SIGNAL_MS) return;
    this.#lastAt = performance.now();
    this.#first.abort();
    this.child?.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal);
  }
}

function whenParentDies(call) {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    call();
  }, CHECK_MS).unref();
}
