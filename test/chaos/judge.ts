/** Holds what clients saw against what a fault may cost. */
import type { Seen } from './load.ts';

/** What a fault may do to connections: nothing; cut those that are open; also refuse new ones, where nobody is left to take them. */
export type ConnectionCost = 'none' | 'cut' | 'refused';

export interface Verdict {
  readonly calls: number;
  readonly failed: number;
  /** How often each failure was seen. */
  readonly failures: ReadonlyMap<string, number>;
  readonly longestMs: number;
  /** From the end of the fault to the end of the last failure; null: failures went on to the end. */
  readonly recoveryMs: number | null;
  /** Why it is not passed; empty: it is. */
  readonly objections: readonly string[];
}

/** Clear failures of the registry; INTERNAL says that we do not know, so it is none. */
const CLEAR = /^(?:429|5\d\d) (?!INTERNAL$)[A-Z_]+$/;
const CONNECTION: Readonly<Record<ConnectionCost, RegExp>> = {
  none: /^$/,
  cut: /^network (?:ECONNRESET|EPIPE)$/,
  refused: /^network (?:ECONNRESET|EPIPE|ECONNREFUSED)$/,
};
/** At the end all must be well for so long. */
export const CALM_MS = 1_000;

export function judge(
  seen: readonly Seen[],
  {
    endOfFault,
    endOfLoad,
    recoverWithinMs,
    connections,
    lost,
    left,
  }: {
    readonly endOfFault: number;
    readonly endOfLoad: number;
    readonly recoverWithinMs: number;
    readonly connections: ConnectionCost;
    readonly lost: readonly string[];
    readonly left: readonly string[];
  },
): Verdict {
  const failed = seen.filter(({ outcome }) => outcome !== 'ok');
  const failures = new Map<string, number>();
  for (const { outcome } of failed) failures.set(outcome, (failures.get(outcome) ?? 0) + 1);
  const lastFailure = Math.max(endOfFault, ...failed.map(({ endedAt }) => endedAt));
  const recoveryMs = endOfLoad - lastFailure >= CALM_MS ? lastFailure - endOfFault : null;
  const unclear = [...failures.keys()].filter(
    (outcome) => !CLEAR.test(outcome) && !CONNECTION[connections].test(outcome),
  );
  return {
    calls: seen.length,
    failed: failed.length,
    failures,
    longestMs: Math.max(0, ...seen.map(({ startedAt, endedAt }) => endedAt - startedAt)),
    recoveryMs,
    objections: [
      ...unclear.map((outcome) => `clients saw "${outcome}"`),
      ...(recoveryMs === null ? ['it did not recover while it was watched'] : []),
      ...(recoveryMs !== null && recoveryMs > recoverWithinMs
        ? [`it took ${Math.round(recoveryMs)} ms to recover`]
        : []),
      ...lost,
      ...left.map((what) => `left over: ${what}`),
    ],
  };
}
