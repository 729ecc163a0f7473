/** Faults under load, in short: `npm run chaos` strikes harder and holds the times. */
import { describe, expect, it } from 'vitest';
import { strike } from '../chaos/chaos.ts';
import { faults } from '../chaos/faults.ts';
import { judge } from '../chaos/judge.ts';
import type { Seen } from '../chaos/load.ts';

/** On a machine that runs other tests as well, five seconds say nothing about the platform. */
const OPTIONS = { perSecond: 60, recoverWithinMs: 20_000 };
const isRoot = process.geteuid?.() === 0;
if (!isRoot)
  console.warn(
    'faults are skipped: they want root, for a file system of their own and other users’ processes',
  );

describe.skipIf(!isRoot)('when', () => {
  it.each(faults)('$name, clients see clear failures, and nothing is lost or left', async (fault) => {
    const verdict = await strike(fault, OPTIONS);
    expect(verdict.objections).toEqual([]);
    expect(verdict.calls).toBeGreaterThan(100);
  });
});

describe('the judge of the faults', () => {
  const call = (endedAt: number, outcome: string): Seen => ({
    kind: 'call',
    startedAt: endedAt - 10,
    endedAt,
    outcome,
  });
  const given = { endOfFault: 1_000, endOfLoad: 20_000, recoverWithinMs: 5_000, lost: [], left: [] };
  const objections = (seen: Seen[], more: object = {}): readonly string[] =>
    judge(seen, { ...given, connections: 'none', ...more }).objections;

  it('takes clear failures that end in time', () => {
    expect(objections([call(900, 'ok'), call(1_100, '503 STORE_UNAVAILABLE'), call(6_000, 'ok')])).toEqual(
      [],
    );
    expect(objections([call(1_100, 'network ECONNRESET')], { connections: 'cut' })).toEqual([]);
    expect(objections([call(1_100, 'network ECONNREFUSED')], { connections: 'refused' })).toEqual([]);
  });

  it.each<[outcome: string]>([
    ['hang'],
    ['network ECONNRESET'],
    ['500 INTERNAL'],
    ['502 without a problem document: <html>'],
    ['wrong answer {}'],
    ['404 NOT_FOUND'],
  ])('objects to "%s"', (outcome) => {
    expect(objections([call(1_100, outcome)])).toEqual([`clients saw "${outcome}"`]);
  });

  it('objects to a connection that is refused where only open ones may be cut', () => {
    const refused = 'network ECONNREFUSED';
    expect(objections([call(1_100, refused)], { connections: 'cut' })).toEqual([`clients saw "${refused}"`]);
  });

  it('objects to what lasts, is lost or is left', () => {
    expect(objections([call(7_000, '503 QUEUE_FULL')])).toEqual(['it took 6000 ms to recover']);
    expect(objections([call(19_900, '503 QUEUE_FULL')])).toEqual(['it did not recover while it was watched']);
    expect(objections([], { lost: ['a deploy'], left: ['process 7'] })).toEqual([
      'a deploy',
      'left over: process 7',
    ]);
  });
});
