import { expect, it } from 'vitest';
import { FrameCosts } from './frame-costs.ts';

function frame(type: number, payload: number): Buffer {
  const bytes = Buffer.alloc(9 + payload, 0xff);
  bytes.writeUIntBE(payload, 0, 3);
  bytes[3] = type;
  return bytes;
}
/** Data, its end, credit, heads, a ping: 1 + 1 + 1 + 10 + 10. */
const bytes = Buffer.concat([frame(0, 16_384), frame(0, 0), frame(8, 4), frame(1, 70), frame(6, 8)]);

it.each([1, 7, 9, 100, 65_536])('frames cost the same in pieces of %i bytes', (size) => {
  const costs = new FrameCosts();
  let cost = 0;
  for (let at = 0; at < bytes.length; at += size) cost += costs.of(bytes.subarray(at, at + size));
  expect(cost).toBe(23);
});
