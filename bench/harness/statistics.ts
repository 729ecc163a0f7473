/** Medians and percentiles of small samples. */

/** The value below which `percent` of 100 lie, by the nearest rank. @throws RangeError when there is none */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)];
  if (value === undefined) throw new RangeError('a percentile of nothing');
  return value;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return Number.isInteger(middle) ? (percentile(sorted, 50) + sorted[middle]!) / 2 : percentile(sorted, 50);
}

/** Element by element: what belongs to one round is compared with what was measured beside it. */
export function paired(
  first: readonly number[],
  second: readonly number[],
  combine: (a: number, b: number) => number,
): number[] {
  return first.map((value, round) => combine(value, second[round]!));
}

export function ratios(first: readonly number[], second: readonly number[]): number[] {
  return paired(first, second, (a, b) => a / b);
}
