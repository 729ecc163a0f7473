import { expect, it } from 'vitest';
import { LogAllowance } from './log-allowance.ts';

it('lets a second of log through at once, then drops and counts, then recovers with time', () => {
  let now = 0;
  const rate = new LogAllowance({ bytesPerSecond: 1_000, now: () => now, debtSeconds: 0 });
  const admitted = Array.from({ length: 20 }, () => rate.admit(100)).filter(Boolean).length;
  expect(admitted).toBe(10);
  expect(rate.takeDropped()).toEqual({ lines: 10, bytes: 1_000 });
  expect(rate.takeDropped()).toBeNull();
  now = 500;
  expect(Array.from({ length: 20 }, () => rate.admit(100)).filter(Boolean)).toHaveLength(5);
});

it('counts a short line as 64 bytes', () => {
  const rate = new LogAllowance({ bytesPerSecond: 640, now: () => 0, debtSeconds: 0 });
  expect(Array.from({ length: 20 }, () => rate.admit(1)).filter(Boolean)).toHaveLength(10);
});

it('lets who floods wait for as long as it has overdrawn, but no longer than its debt', () => {
  let now = 0;
  const rate = new LogAllowance({ bytesPerSecond: 1_000, now: () => now, debtSeconds: 3 });
  for (let line = 0; line < 100; line++) rate.admit(100);
  expect([rate.owes(2), rate.owes(10)]).toEqual([true, false]);
  now = 2_900;
  expect(rate.admit(0)).toBe(false);
  now = 3_200;
  expect(rate.admit(0)).toBe(true);
  rate.addDropped(5, 50);
  expect(rate.takeDropped()).toEqual({ lines: 96, bytes: 9_050 });
});
