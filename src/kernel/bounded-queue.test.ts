import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BoundedQueue } from './bounded-queue.ts';

it('behaves as a list with a limit', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.array(fc.option(fc.integer()), { maxLength: 200 }),
      (limit, steps) => {
        const queue = new BoundedQueue<number>(limit);
        const list: number[] = [];
        for (const step of steps) {
          if (step === null) expect(queue.shift()).toBe(list.shift());
          else {
            expect(queue.push(step)).toBe(list.length < limit);
            if (list.length < limit) list.push(step);
          }
          expect(queue.length).toBe(list.length);
        }
        expect(queue.take(limit + 1)).toEqual(list);
      },
    ),
  );
});
