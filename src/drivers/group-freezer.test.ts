import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { GroupFreezer } from './group-freezer.ts';

let states: boolean[];
let failures: number;
let freezer: GroupFreezer;
beforeEach(() => {
  vi.useFakeTimers();
  [states, failures] = [[], 0];
  freezer = new GroupFreezer({
    setFrozen: (isFrozen) => {
      if (failures-- > 0) return Promise.reject(new Error('EMFILE'));
      states.push(isFrozen);
      return Promise.resolve();
    },
  });
});
afterEach(() => vi.useRealTimers());

it('holds to the last word, whoever is faster', async () => {
  await Promise.all([freezer.freeze(), freezer.thaw(), freezer.freeze()]);
  expect(states).toEqual([true, false, true]);
});

it('thaws what is killed until that has worked, and freezes it no more', async () => {
  await freezer.freeze();
  failures = 2;
  freezer.letDie();
  freezer.letDie();
  await vi.advanceTimersByTimeAsync(3_000);
  expect(states).toEqual([true, false]);
  await freezer.freeze();
  expect([states, vi.getTimerCount()]).toEqual([[true, false], 0]);
});

it('does nothing for what is killed and not frozen', async () => {
  freezer.letDie();
  await vi.advanceTimersByTimeAsync(3_000);
  expect(states).toEqual([]);
});

it('tries no more once it has ended', async () => {
  await freezer.freeze();
  failures = 1_000;
  freezer.letDie();
  await vi.advanceTimersByTimeAsync(2_500);
  freezer.close();
  expect(vi.getTimerCount()).toBe(0);
});
