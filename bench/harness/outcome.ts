/** What one figure measured: rows for the table, and checks of what issue and README promise. */
import { median } from './statistics.ts';

export interface Row {
  readonly label: string;
  readonly unit: string;
  /** one value for each round; the table shows their median */
  readonly rounds: readonly number[];
  readonly p50Ms?: number;
  readonly p99Ms?: number;
}

export interface Check {
  readonly says: string;
  readonly value: number;
  readonly bound: 'at least' | 'at most';
  readonly target: number;
  readonly unit: string;
}

export interface Outcome {
  readonly rows: readonly Row[];
  readonly checks: readonly Check[];
}

export interface BenchContext {
  readonly rounds: number;
  /** Owns what the figure starts; it is taken down in reverse order when the figure is done or fails. */
  readonly scope: AsyncDisposableStack;
  say(text: string): void;
}

export interface Figure {
  readonly says: string;
  measure(context: BenchContext): Promise<Outcome>;
}

export function isMet({ value, bound, target }: Check): boolean {
  return bound === 'at least' ? value >= target : value <= target;
}

/** A check of the median of the rounds' values. */
export function check(
  says: string,
  rounds: readonly number[],
  wanted: Pick<Check, 'bound' | 'target' | 'unit'>,
): Check {
  return { says, value: median(rounds), ...wanted };
}
