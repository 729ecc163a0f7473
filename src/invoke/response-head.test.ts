import fc from 'fast-check';
import http from 'node:http';
import { describe, expect, it } from 'vitest';
import { checkResponseHead, lengthMismatch, lengthToSay } from './response-head.ts';

const rules = { method: 'GET', maxBytes: 16_384, isUpgrade: false };
const check = (headers: string[], status = 200, more: Partial<typeof rules> = {}) =>
  checkResponseHead({ status, headers }, { ...rules, ...more });

describe('the head of a response', () => {
  it('passes on what is valid, as it was said', () => {
    expect(check(['Content-Type', 'text/plain', 'Set-Cookie', 'a=1', 'set-cookie', 'b=2'], 404)).toEqual({
      status: 404,
      headers: ['Content-Type', 'text/plain', 'Set-Cookie', 'a=1', 'set-cookie', 'b=2'],
      contentLength: -1,
      isBodyless: false,
    });
  });

  it.each([
    ['a line break in a value', ['x', 'a\r\nset-cookie: b=1']],
    ['a bare line feed in a value', ['x', 'a\nb']],
    ['NUL in a value', ['x', 'a\0b']],
    ['a line break in a name', ['x\r\ny', 'a']],
    ['a space in a name', ['x y', 'a']],
    ['a colon in a name', ['x:', 'a']],
    ['an empty name', ['', 'a']],
    ['a control character in a dropped header', ['connection', 'x\r\ny']],
    ['two lengths', ['content-length', '5', 'Content-Length', '6']],
    ['the same length twice', ['content-length', '5', 'content-length', '5']],
    ['a list of lengths', ['content-length', '5, 5']],
    ['a negative length', ['content-length', '-1']],
    ['a length with a sign', ['content-length', '+5']],
    ['a length in hexadecimal', ['content-length', '0x5']],
    ['an endless length', ['content-length', '9'.repeat(20)]],
    ['201 headers', Array.from({ length: 201 }, (_, index) => [`h${index}`, 'v']).flat()],
    ['more bytes than the limit', ['x', 'y'.repeat(17_000)]],
  ])('is refused with %s', (_, headers) => {
    expect(check(headers)).toBeTypeOf('string');
  });

  it.each([0, 99, 100, 101, 103, 199, 600, 999, 65_535])('is refused with the status %i', (status) => {
    expect(check([], status)).toBeTypeOf('string');
  });

  it('may be 101 where an upgrade was asked for', () => {
    expect(check([], 101, { isUpgrade: true })).toMatchObject({ status: 101 });
  });

  it('loses what is for one connection only, and what only the platform may say', () => {
    const said = [
      'Connection',
      'close, X-Private',
      'x-private',
      '1',
      'Keep-Alive',
      'timeout=5',
      'Transfer-Encoding',
    ];
    said.push('gzip', 'Upgrade', 'h2c', 'TE', 'trailers', 'Trailer', 'x', 'Proxy-Authenticate', 'Basic');
    said.push('X-Berth-Invocation', 'forged', 'x-wt-params', 'e30=', 'Host', 'evil', 'kept', 'yes');
    expect(check(said)).toMatchObject({ headers: ['kept', 'yes'] });
  });

  it('cannot lose its length by naming it in Connection', () => {
    expect(check(['connection', 'content-length', 'content-length', '5'])).toMatchObject({
      contentLength: 5,
    });
  });

  it('is taken by Node whatever a function says, or refused here', () => {
    const text = fc.string({
      unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
      maxLength: 12,
    });
    const names = fc.oneof(
      text,
      fc.constantFrom('content-length', 'connection', 'date', 'trailer', 'set-cookie', 'TE'),
    );
    const heads = fc.tuple(
      fc.integer({ min: 0, max: 700 }),
      fc.array(fc.tuple(names, text), { maxLength: 6 }),
    );
    fc.assert(
      fc.property(heads, ([status, pairs]) => {
        const checked = check(pairs.flat(), status);
        if (typeof checked === 'string') return;
        const response = new http.ServerResponse(new http.IncomingMessage(null as never));
        expect(() => response.writeHead(checked.status, checked.headers)).not.toThrow();
      }),
    );
  });
});

describe('the length of a body', () => {
  const head = (contentLength: number, isBodyless = false, status = 200) => ({
    status,
    headers: [],
    contentLength,
    isBodyless,
  });

  it('must be what was declared', () => {
    expect(lengthMismatch(head(5), 6, false)).toMatch(/more/);
    expect(lengthMismatch(head(5), 4, true)).toMatch(/fewer/);
    expect(lengthMismatch(head(5), 4, false)).toBeNull();
    expect(lengthMismatch(head(5), 5, true)).toBeNull();
    expect(lengthMismatch(head(-1), 5, true)).toBeNull();
    expect(lengthMismatch(head(500, true), 0, true)).toBeNull();
  });

  it('is said where it is known, and never where there can be none', () => {
    expect(lengthToSay(head(-1), 5, true)).toBe('5');
    expect(lengthToSay(head(-1), 5, false)).toBeNull();
    expect(lengthToSay(head(9), 5, false)).toBe('9');
    expect(lengthToSay(head(9, true), 0, true)).toBe('9');
    expect(lengthToSay(head(9, true, 204), 0, true)).toBeNull();
    expect(lengthToSay(head(9, true, 205), 0, true)).toBe('0');
  });
});
