import { expect, it } from 'vitest';
import { systemClock } from './clock.ts';
import { DeadlinePassed, withDeadline } from './deadline.ts';
import { FakeClock } from './testing/fake-clock.ts';

it('gives what comes in time, and leaves no timer', async () => {
  const clock = new FakeClock();
  await expect(withDeadline(clock, 100, Promise.resolve(7))).resolves.toBe(7);
  await expect(withDeadline(clock, 100, Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(clock.waiting).toBe(0);
});

it('gives up at the deadline, and a later rejection harms nobody', async () => {
  const clock = new FakeClock();
  const { promise, reject } = Promise.withResolvers<number>();
  const caught = withDeadline(clock, 100, promise).catch((error: unknown) => error);
  await clock.advance(100);
  expect(await caught).toBeInstanceOf(DeadlinePassed);
  reject(new Error('late'));
  await clock.advance(1);
});

it('the system clock counts, calls back, and takes a call back', async () => {
  const before = systemClock.monotonic();
  let isCalled = false;
  systemClock.after(1, () => (isCalled = true))();
  await new Promise<void>((resolve) => {
    systemClock.after(5, resolve);
  });
  await new Promise<void>((resolve) => {
    systemClock.afterInput(resolve);
  });
  expect(isCalled).toBe(false);
  expect(systemClock.monotonic()).toBeGreaterThan(before);
  expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(1_000);
});
