/** The end of the process: uncaught errors and `process.exit` are told to the host before it. */
import type { Failure } from '../contracts/frames.ts';
import { failureOf } from './failure-text.ts';
import { reallyExit } from './process-exit.ts';

const FLUSH_WITHIN_MS = 100;
const FATAL_EXIT_CODE = 70;

export interface FaultOutlet {
  /** Puts the failure and everything before it on the socket. */
  tell(failure: Failure): void;
  /** Calls back when the kernel has what was written. */
  onWritten(done: () => void): void;
}

export interface Faults {
  /** Tells the host of an error that nobody caught, and ends the process. */
  uncaught(thrown: unknown): void;
}

export function installFaults(outlet: FaultOutlet): Faults {
  let isEnding = false;
  const uncaught = (thrown: unknown): void => {
    if (isEnding) return;
    isEnding = true;
    const exit = (): void => reallyExit(FATAL_EXIT_CODE);
    setTimeout(exit, FLUSH_WITHIN_MS);
    outlet.tell(failureOf('FUNCTION_CRASHED', thrown));
    outlet.onWritten(exit);
  };
  process.on('uncaughtException', (error) => {
    // Who listens as well takes the error on, as in Node without us.
    if (process.listenerCount('uncaughtException') === 1) uncaught(error);
  });
  process.on('exit', (code) => {
    if (isEnding) return;
    isEnding = true;
    outlet.tell({ code: 'FUNCTION_CRASHED', reason: `it ended its process with code ${code}` });
  });
  return { uncaught };
}
