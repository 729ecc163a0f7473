import { describe, expect, it } from 'vitest';
import { failureSchema } from '../contracts/frames.ts';
import { failureOf } from './failure-text.ts';

const HOST_TAKES_BYTES = 32 * 1024;

describe('what was thrown', () => {
  it.each([
    ['a long text', new Error('\u{1f4a5}"\\\n\0'.repeat(10_000))],
    ['lone surrogates', new Error('\ud800'.repeat(10_000))],
    ['control characters', '\u0001'.repeat(100_000)],
    ['nothing', undefined],
    ['a symbol', Symbol('s')],
    ['an object without a prototype', Object.create(null)],
    [
      'a hostile error',
      Object.defineProperty(new Error('x'), 'stack', {
        get: () => {
          throw new Error('y');
        },
      }),
    ],
    ['a stack that is no text', Object.assign(new Error('x'), { stack: 5 })],
  ])('fits the protocol: %s', (_what, thrown) => {
    const failure = failureOf('FUNCTION_FAILED', thrown);
    expect(() => failureSchema.parse(failure)).not.toThrow();
    expect(Buffer.byteLength(JSON.stringify(failure))).toBeLessThan(HOST_TAKES_BYTES);
  });
});
