import { expect, it } from 'vitest';
import { FairTurns } from './fair-turns.ts';
import { settled } from './testing/fake-clock.ts';

it('runs one job at a time, and owners take turns however many jobs each has', async () => {
  const turns = new FairTurns();
  const order: string[] = [];
  let running = 0;
  const job = (owner: string, name: string): Promise<string> =>
    turns.run(owner, async () => {
      running += 1;
      expect(running).toBe(1);
      order.push(name);
      await settled();
      running -= 1;
      return name;
    });
  const jobs = [
    job('a', 'a1'),
    job('a', 'a2'),
    job('a', 'a3'),
    job('b', 'b1'),
    job('c', 'c1'),
    job('b', 'b2'),
  ];
  expect(await Promise.all(jobs)).toEqual(['a1', 'a2', 'a3', 'b1', 'c1', 'b2']);
  expect(order).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2']);
});

it('goes on after a job that failed', async () => {
  const turns = new FairTurns();
  const failed = turns.run('a', () => Promise.reject(new Error('no')));
  const next = turns.run('a', () => Promise.resolve('yes'));
  await expect(failed).rejects.toThrow('no');
  expect(await next).toBe('yes');
  expect(await turns.run('b', () => Promise.resolve('again'))).toBe('again');
});
