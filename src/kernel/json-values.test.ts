import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasAtMostValues } from './json-values.ts';

const holds = (text: string, max: number): boolean => hasAtMostValues(Buffer.from(text), max);

/** Values and the names of members are at most this: each stands behind a comma or an opening bracket. */
function count(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  return 1 + Object.values(value).reduce<number>((sum, one) => sum + count(one), 0);
}

describe('the values of JSON', () => {
  it('are counted outside of texts only', () => {
    expect(holds('"[{,[{,\\"[{,\\\\"', 1)).toBe(true);
    expect(holds('["a,b","c\\",d"]', 3)).toBe(true);
    expect(holds('["a","b","c"]', 3)).toBe(false);
    expect(holds('[{},{},{}]', 6)).toBe(false);
    expect(holds('"never ends, [[[', 1)).toBe(true);
  });

  it('are never counted as fewer than there are, nor as many more', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        const [text, values] = [JSON.stringify(value), count(value)];
        expect(holds(text, 2 * values)).toBe(true);
        if (values > 2) expect(holds(text, Math.floor(values / 2) - 1)).toBe(false);
      }),
    );
  });
});
