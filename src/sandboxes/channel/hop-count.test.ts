import { expect, it } from 'vitest';
import { HopCount } from './hop-count.ts';

it('a connection counts the hops of its invocation; where there is none, the highest of the last minute', () => {
  let now = 0;
  const hops = new HopCount(() => now);
  expect([hops.of(undefined), hops.of({ hops: 2 })]).toEqual([0, 2]);
  hops.saw(5);
  hops.saw(3);
  expect([hops.of(undefined), hops.of({ hops: 2 })]).toEqual([5, 2]);
  now = 59_999;
  expect(hops.of(undefined)).toBe(5);
  now = 60_000;
  expect(hops.of(undefined)).toBe(0);
  hops.saw(1);
  expect(hops.of(undefined)).toBe(1);
});
