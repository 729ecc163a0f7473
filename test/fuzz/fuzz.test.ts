/** A short run of each fuzz target, the corpus first. `npm run fuzz` gives the seconds for a longer one. */
import { expect, it } from 'vitest';
import { corpusOf, type FuzzParameters } from './fuzz-target.ts';
import { fuzzTargets } from './targets.ts';

const RUNS: Readonly<Record<string, number>> = { frames: 1_500, http: 600, tokens: 3_000 };
const seconds = Number(process.env['BERTH_FUZZ_SECONDS'] ?? 0);
const seed = process.env['BERTH_FUZZ_SEED'];
const TIMEOUT_MS = (seconds + 60) * 1_000;

function parametersFor(name: string): FuzzParameters {
  const given = seed === undefined ? {} : { seed: Number(seed) };
  return seconds === 0
    ? { numRuns: RUNS[name]!, ...given }
    : { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: seconds * 1_000, ...given };
}

it.each(Object.entries(fuzzTargets))(
  '%s: no input breaks a promise',
  async (name, openTarget) => {
    await using target = await openTarget();
    expect(corpusOf(name).length).toBeGreaterThan(10);
    await target.check(parametersFor(name));
  },
  TIMEOUT_MS,
);

it('every target has a short run', () => {
  expect(Object.keys(RUNS)).toEqual(Object.keys(fuzzTargets));
});
