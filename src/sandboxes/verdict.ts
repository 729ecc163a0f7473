/** Why a sandbox ended: from what was seen of it to the error that its invocations get. Pure. */
import { constants } from 'node:os';
import { BerthError, type ErrorCode } from '../contracts/errors.ts';
import type { SandboxExit } from '../drivers/driver.ts';
import { cleanText } from '../kernel/clean-text.ts';

/** Ends that are nobody's failure, beside the error codes. */
export type EndReason = ErrorCode | 'idle' | 'retired' | 'evicted' | 'surplus';

export interface Ending {
  readonly reason: EndReason;
  /** What invocations that are still open fail with. */
  readonly error: BerthError;
}

export interface Evidence {
  readonly exit: SandboxExit | null;
  readonly violation: BerthError | null;
  /** The runtime's last words. */
  readonly fatal: { readonly reason: string; readonly stack: string | undefined } | null;
  /** Found blocked, or out of time or memory, before it ended, with the name and value of the limit. */
  readonly suspicion: Suspicion | null;
}

export type Suspicion =
  | { readonly code: 'EVENT_LOOP_BLOCKED'; readonly name: 'blockedMs' | 'spinMs'; readonly limit: number }
  | { readonly code: 'LOAD_TIMEOUT' | 'MEMORY_LIMIT'; readonly limit: number };

const MAX_REASON_BYTES = 1_000;
const SIGNAL_EXIT_BASE = 128;
/** Where a number has two names, the first in reverse order is the usual one: SIGABRT, not SIGIOT. */
const signalNames = new Map(
  Object.entries(constants.signals)
    .toReversed()
    .map(([name, number]) => [number, name]),
);

export function endingOf(error: BerthError, reason: EndReason = error.code): Ending {
  return { reason, error };
}

/** The strongest evidence wins: memory, then a broken protocol, then the watchdog, then the last words, then the exit. */
export function verdictOf(evidence: Evidence, memoryBytes: number): BerthError {
  const { exit, violation, fatal, suspicion } = evidence;
  if (exit?.outOfMemory === true) return new BerthError('MEMORY_LIMIT', { limit: memoryBytes });
  if (violation !== null) return violation;
  if (suspicion !== null) return suspicionError(suspicion, '');
  const reason = fatal === null ? exitReason(exit) : fatalReason(fatal.reason);
  return new BerthError('FUNCTION_CRASHED', { reason });
}

/** @param place where it spins, as in ` at hello.js:3:7 (spin)`, or '' */
export function suspicionError(suspicion: Suspicion, place: string): BerthError {
  const { code, limit } = suspicion;
  if (code !== 'EVENT_LOOP_BLOCKED') return new BerthError(code, { limit });
  return new BerthError(code, { name: suspicion.name, limit, place });
}

function fatalReason(reason: string): string {
  const text = cleanText(reason, MAX_REASON_BYTES);
  const exit = /^it ended its process with code (\d{1,3})$/.exec(text);
  if (exit !== null) return `exit code ${exit[1]} by process.exit`;
  return /^(?:uncaught|unhandled)/i.test(text) ? text : `uncaught exception: ${text}`;
}

function exitReason(exit: SandboxExit | null): string {
  if (exit === null) return 'it closed its channel';
  if (exit.signal !== null) return `killed by ${cleanText(exit.signal, MAX_REASON_BYTES)}`;
  const code = exit.code ?? 0;
  // The init of a sandbox reports a death by signal as 128 and the signal's number.
  const signal = signalNames.get(code - SIGNAL_EXIT_BASE);
  return signal === undefined ? `exit code ${code} by process.exit` : `killed by ${signal}`;
}

/** Why a sandbox did not start, from whatever was thrown. */
export function startError(thrown: unknown): BerthError {
  const isSaid = thrown instanceof BerthError && thrown.code === 'SANDBOX_START_FAILED';
  return isSaid ? thrown : new BerthError('SANDBOX_START_FAILED', {}, { cause: thrown });
}
