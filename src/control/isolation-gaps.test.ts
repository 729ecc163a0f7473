import { expect, it } from 'vitest';
import type { DriverFacts, Isolation } from '../drivers/driver.ts';
import { factsOf } from '../drivers/testing/facts.ts';
import { openGaps, refuseSharedGaps } from './isolation-gaps.ts';

const facts = (...gaps: readonly Isolation[]): DriverFacts =>
  factsOf({ gaps: new Map(gaps.map((gap) => [gap, 'a reason'])) });

it('a driver without gaps serves any number of tenants', () => {
  expect(() => refuseSharedGaps(facts(), [], 1_000)).not.toThrow();
});

it('a driver with gaps serves one tenant', () => {
  expect(() => refuseSharedGaps(facts('seccomp'), [], 1)).not.toThrow();
  expect(() => refuseSharedGaps(facts('seccomp', 'own-uid'), [], 2)).toThrow(
    expect.objectContaining({ code: 'ISOLATION_GAP', facts: { gaps: 'seccomp,own-uid', driver: 'jail' } }),
  );
});

it('only the very gap that was accepted counts as accepted', () => {
  expect(openGaps(facts('seccomp', 'own-uid'), ['own-uid', 'pids-limit'])).toEqual(['seccomp']);
  expect(() => refuseSharedGaps(facts('seccomp'), ['own-uid'], 2)).toThrow(/seccomp/);
  expect(() => refuseSharedGaps(facts('seccomp'), ['seccomp'], 2)).not.toThrow();
});
