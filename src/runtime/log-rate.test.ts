import { expect, it } from 'vitest';
import { LogRate } from './log-rate.ts';

it('lets a second of log through at once, then drops and counts, then recovers with time', () => {
  let now = 0;
  const rate = new LogRate(1_000, () => now);
  const admitted = Array.from({ length: 20 }, () => rate.admit(100)).filter(Boolean).length;
  expect(admitted).toBe(10);
  expect(rate.takeDropped()).toEqual({ lines: 10, bytes: 1_000 });
  expect(rate.takeDropped()).toBeNull();
  now = 500;
  expect(Array.from({ length: 20 }, () => rate.admit(100)).filter(Boolean)).toHaveLength(5);
});

it('counts a short line as 64 bytes', () => {
  const rate = new LogRate(640, () => 0);
  expect(Array.from({ length: 20 }, () => rate.admit(1)).filter(Boolean)).toHaveLength(10);
});
