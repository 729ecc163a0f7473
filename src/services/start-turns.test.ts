import { expect, it } from 'vitest';
import { settled } from '../kernel/testing/fake-clock.ts';
import { StartTurns } from './start-turns.ts';

const never = new AbortController().signal;

it('gives so many turns at the same time, the others in order', async () => {
  const turns = new StartTurns(2);
  const order: number[] = [];
  const takes = [1, 2, 3, 4].map(async (number) => {
    const leave = await turns.take(never);
    order.push(number);
    return leave;
  });
  await settled();
  expect(order).toEqual([1, 2]);
  const leave = await takes[0]!;
  leave();
  leave();
  await settled();
  expect(order).toEqual([1, 2, 3]);
  (await takes[1]!)();
  await settled();
  expect(order).toEqual([1, 2, 3, 4]);
});

it('is nothing to wait for any more when the signal says so, and the next one gets it', async () => {
  const turns = new StartTurns(1);
  const leave = await turns.take(never);
  const abort = new AbortController();
  const given = turns.take(abort.signal).catch(() => 'left');
  const next = turns.take(never).then(() => 'taken');
  abort.abort();
  expect(await given).toBe('left');
  await expect(turns.take(abort.signal)).rejects.toBe(abort.signal.reason);
  leave();
  expect(await next).toBe('taken');
});
