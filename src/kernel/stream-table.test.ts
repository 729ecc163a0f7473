import fc from 'fast-check';
import { expect, it } from 'vitest';
import { StreamTable } from './stream-table.ts';

const streams = fc.oneof(
  fc.integer({ min: 0, max: 400 }),
  fc.nat(3).map((turns) => 7 + turns * 128),
  fc.constant(0xffff_ffff),
);
const step = fc.record({ stream: streams, isAdded: fc.boolean() });

it('holds what a Map would hold, whatever is entered and deleted', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const table = new StreamTable<{ stream: number }>();
      const model = new Map<number, { stream: number }>();
      for (const { stream, isAdded } of steps) {
        if (!isAdded || stream === 0) {
          table.delete(stream);
          model.delete(stream);
        } else if (!model.has(stream)) {
          const value = { stream };
          table.add(stream, value);
          model.set(stream, value);
        }
        expect(table.size).toBe(model.size);
        for (const { stream: asked } of steps) expect(table.get(asked)).toBe(model.get(asked));
      }
      expect(new Set(table.drain())).toEqual(new Set(model.values()));
      expect([table.size, table.drain()]).toEqual([0, []]);
    }),
    { numRuns: 300 },
  );
});
