import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SmallPieces } from './small-pieces.ts';

it('pieces come out as one, in their order, whole, and once', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 3_000 }), { maxLength: 20 }), (pieces) => {
      const small = new SmallPieces();
      for (const piece of pieces) small.add(piece);
      expect(small.take() ?? Buffer.alloc(0)).toEqual(Buffer.concat(pieces));
      expect(small.take()).toBeNull();
    }),
  );
});

it('what was taken is not changed by what follows', () => {
  const small = new SmallPieces();
  small.add(Buffer.from('one'));
  const taken = small.take();
  small.add(Buffer.from('two'));
  expect(taken?.toString()).toBe('one');
  expect(small.take()?.toString()).toBe('two');
});
