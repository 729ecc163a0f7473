import { describe, expect, it } from 'vitest';
import { TurnQueue } from './turn-queue.ts';

const never = new AbortController().signal;
const names = { waiting: 'most waiting', waitMs: 'longest wait' };
const queue = (change: { waiting?: number; waitMs?: number } = {}) =>
  new TurnQueue({ atOnce: 2, waiting: 2, waitMs: 10_000, names, ...change });

describe('a queue of turns', () => {
  it('lets so many go on at once, the others in order, and does not mix owners', async () => {
    const turns = queue();
    const [first, second] = [await turns.wait('a', never), await turns.wait('a', never)];
    const order: string[] = [];
    const third = turns.wait('a', never).then((end) => (order.push('third'), end));
    const fourth = turns.wait('a', never).then((end) => (order.push('fourth'), end));
    await turns.wait('b', never);
    expect(order).toEqual([]);
    first();
    await third;
    expect(order).toEqual(['third']);
    second();
    await fourth;
    expect(order).toEqual(['third', 'fourth']);
  });

  it('refuses more than may wait, by the name of the limit', async () => {
    const turns = queue();
    for (let n = 0; n < 2; n++) await turns.wait('a', never);
    const waiting = [turns.wait('a', never), turns.wait('a', never)];
    await expect(turns.wait('a', never)).rejects.toMatchObject({
      code: 'QUEUE_FULL',
      facts: { name: 'most waiting', limit: 2 },
    });
    expect(waiting).toHaveLength(2);
  });

  it('refuses whoever waits too long or gives up, and goes on with the next', async () => {
    const turns = queue({ waitMs: 20 });
    const ends = [await turns.wait('a', never), await turns.wait('a', never)];
    await expect(turns.wait('a', never)).rejects.toMatchObject({ facts: { name: 'longest wait' } });
    const gone = new AbortController();
    const leaver = turns.wait('a', gone.signal);
    gone.abort();
    await expect(leaver).rejects.toMatchObject({ code: 'CONCURRENCY_LIMIT' });
    const next = turns.wait('a', never);
    for (const end of ends) end();
    (await next)();
    const again = [await turns.wait('a', never), await turns.wait('a', never)];
    expect(again).toHaveLength(2);
  });
});
