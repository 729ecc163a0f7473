import { describe, expect, it } from 'vitest';
import { FakeClock, settled } from '../kernel/testing/fake-clock.ts';
import { ChangeQueue } from './change-queue.ts';

function queueOf(apply: (change: string) => Promise<void>) {
  const clock = new FakeClock();
  const errors: unknown[] = [];
  const queue = new ChangeQueue<string>({
    clock,
    keyOf: (change) => change,
    apply,
    onError: (error) => errors.push(error),
  });
  return { queue, clock, errors };
}

describe('a queue of changes', () => {
  it('applies them one after the other, in order', async () => {
    const log: string[] = [];
    const { queue } = queueOf(async (change) => {
      log.push(`${change} begins`);
      await settled();
      log.push(`${change} ends`);
    });
    queue.push('a');
    queue.push('b');
    await queue.settled();
    expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends']);
  });

  it('reads once what waits twice, and again what changes while it is read', async () => {
    let applied = 0;
    const { queue } = queueOf(async () => {
      applied += 1;
      await settled();
    });
    for (let time = 0; time < 10; time++) queue.push('a');
    await queue.settled();
    expect(applied).toBe(2);
  });

  it('settles what was pushed before, without waiting for what comes after', async () => {
    const releases: (() => void)[] = [];
    const { queue } = queueOf(
      () =>
        new Promise((resolve) => {
          releases.push(resolve);
        }),
    );
    queue.push('a');
    const first = queue.settled();
    queue.push('b');
    let isSecondSettled = false;
    const second = queue.settled().then(() => (isSecondSettled = true));
    releases[0]!();
    await first;
    await settled();
    expect(isSecondSettled).toBe(false);
    releases[1]!();
    await second;
  });

  it('tries again until it succeeds', async () => {
    let failures = 3;
    const { queue, clock, errors } = queueOf(() =>
      failures-- > 0 ? Promise.reject(new Error('busy')) : Promise.resolve(),
    );
    queue.push('a');
    let isSettled = false;
    void queue.settled().then(() => (isSettled = true));
    await clock.advance(10);
    expect(isSettled).toBe(false);
    await clock.advance(1_000);
    expect(isSettled).toBe(true);
    expect(errors).toHaveLength(3);
  });

  it('goes on with the others while one fails, and holds up nobody who comes later', async () => {
    let isBroken = true;
    const applied: string[] = [];
    const { queue, clock } = queueOf(async (change) => {
      if (change === 'broken' && isBroken) throw new Error('unreadable');
      applied.push(change);
    });
    queue.push('broken');
    queue.push('a');
    let isSettled = false;
    void queue.settled().then(() => (isSettled = true));
    await clock.advance(5_000);
    expect(applied).toEqual(['a']);
    expect(isSettled).toBe(false);
    queue.push('b');
    await queue.settled();
    expect(applied).toEqual(['a', 'b']);
    isBroken = false;
    await clock.advance(1_000);
    expect(applied).toEqual(['a', 'b', 'broken']);
    expect(isSettled).toBe(true);
    expect(clock.waiting).toBe(0);
  });

  it('tries a failed change at once when it is pushed again, and waits for it then', async () => {
    let isBroken = true;
    const { queue, clock } = queueOf(() =>
      isBroken ? Promise.reject(new Error('busy')) : Promise.resolve(),
    );
    queue.push('a');
    await clock.advance(5_000);
    isBroken = false;
    queue.push('a');
    await queue.settled();
    expect(clock.waiting).toBe(0);
  });

  it('who waits for a failed read of what changed in the meantime waits for the next read', async () => {
    const reads: PromiseWithResolvers<void>[] = [];
    const { queue } = queueOf(() => {
      reads.push(Promise.withResolvers<void>());
      return reads.at(-1)!.promise;
    });
    queue.push('a');
    let isSettled = false;
    const first = queue.settled().then(() => (isSettled = true));
    queue.push('a');
    reads[0]!.reject(new Error('busy'));
    await settled();
    expect(isSettled).toBe(false);
    reads[1]!.resolve();
    await first;
  });

  it('leaves nothing behind when it is closed', async () => {
    const { queue, clock } = queueOf(() => Promise.reject(new Error('never')));
    queue.push('a');
    await settled();
    const waiting = queue.settled();
    queue.close();
    await waiting;
    await settled();
    expect(clock.waiting).toBe(0);
  });
});
