import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeRequestHead, encodeRequestHead, MalformedFrame } from '../kernel/frame-heads.ts';
import { decodeHead } from './request-head.ts';

const latin1 = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) });
const heads = fc.record({
  method: latin1,
  url: latin1,
  basePath: latin1,
  remoteAddress: latin1,
  scheme: fc.constantFrom('http' as const, 'https' as const),
  invocation: latin1,
  headers: fc.array(fc.tuple(latin1, latin1)).map((pairs) => pairs.flat()),
});

describe('the decoder of request heads', () => {
  it('reads what the host writes, and leaves the body', () => {
    fc.assert(
      fc.property(heads, fc.uint8Array(), (head, body) => {
        const payload = Buffer.concat([encodeRequestHead(head), body]);
        expect(decodeHead(payload)).toEqual({ head, body: Buffer.from(body) });
        expect(decodeHead(payload)).toEqual(decodeRequestHead(payload));
      }),
    );
  });

  it('refuses a head that is cut off', () => {
    fc.assert(
      fc.property(heads, fc.nat(), (head, at) => {
        const whole = encodeRequestHead(head);
        expect(() => decodeHead(whole.subarray(0, at % whole.length))).toThrow(MalformedFrame);
      }),
    );
  });
});
