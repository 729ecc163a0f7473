import { describe, expect, it } from 'vitest';
import { shapeOf } from './parameter-names.ts';

/** Functions as V8 shows them; made from text, so that no tool rewrites them first. */
function names(text: string): readonly string[] | null {
  // oxlint-disable-next-line no-new-func -- the text is what is tested
  const fn = new Function(`return (${text})`)() as () => unknown;
  return shapeOf(fn, 'commonjs')?.parameters ?? null;
}

describe('the parameters of', () => {
  it.each([
    ['function () {}', []],
    ['function (a, b) {}', ['a', 'b']],
    ['function named(a, b) {}', ['a', 'b']],
    ['x => x', ['x']],
    ['async x => x', ['x']],
    ['async (ctx) => (1, 2)', ['ctx']],
    ['(ctx, cb) => cb(ctx)', ['ctx', 'cb']],
    ['({ a: { b } }, [c, d]) => 1', ['{ a: { b } }', '[c, d]']],
    ['(a = { x: [1, 2] }, b = f("),("), c) => 1', ['a', 'b', 'c']],
    ['(...args) => 1', ['...args']],
    ['(a /* first, of all */, b // , c\n) => 1', ['a', 'b']],
    ['async function* gen($a, _b) {}', ['$a', '_b']],
    ['{ handler(event, context) {} }.handler', ['event', 'context']],
    ['{ async handler(event) {} }.handler', ['event']],
    ['(größe) => 1', ['größe']],
    ['function (a, b) {}.bind(null, 1)', ['p0']],
  ])('%s', (text, expected) => {
    expect(names(text)).toEqual(expected);
  });

  it('a class are none of its own', () => {
    expect(names('class A { constructor(a) {} }')).toBeNull();
  });

  it('an async function say so', () => {
    expect(shapeOf(async () => 1, 'esm')).toMatchObject({ isAsync: true, moduleKind: 'esm' });
  });
});
