import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { defaultLimits } from '../contracts/limits.ts';
import { bodyLimitOf, readBody } from './body.ts';

const limit = { bytes: 16, name: 'apiBodyBytes' };
const json = { 'content-type': 'application/json; charset=utf-8' };
const read = (chunks: readonly (string | Buffer)[], headers: Record<string, string>, takesCode = false) =>
  readBody(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), headers, { limit, takesCode });

describe('a body', () => {
  it('as JSON may come in pieces that split a character', async () => {
    const bytes = Buffer.from('{"a":"é"}');
    const pieces = [bytes.subarray(0, 7), bytes.subarray(7)];
    expect(await read(pieces, json)).toEqual({ json: { a: 'é' }, raw: null });
  });

  it('that is empty is none', async () => {
    expect(await read([], json)).toEqual({ json: undefined, raw: null });
    expect(await read([], {})).toEqual({ json: undefined, raw: null });
  });

  it('that is code comes as it is, whatever its type, also when it is empty', async () => {
    const { raw } = await read(['a\0b'], { 'content-type': 'Text/JavaScript; x=y' }, true);
    expect(raw).toEqual({ bytes: Buffer.from('a\0b'), mediaType: 'text/javascript' });
    expect((await read([], {}, true)).raw).toEqual({ bytes: Buffer.alloc(0), mediaType: '' });
  });

  it('ends at its limit without being collected', async () => {
    let pulled = 0;
    const endless = Readable.from(
      (function* () {
        for (;;) {
          pulled += 1;
          yield Buffer.alloc(8);
        }
      })(),
    );
    await expect(readBody(endless, {}, { limit, takesCode: false })).rejects.toMatchObject({
      code: 'BODY_TOO_LARGE',
      facts: { limit: 'apiBodyBytes' },
    });
    expect(pulled).toBeLessThan(40);
    endless.destroy();
  });

  it('that announces too much is refused before it is read', async () => {
    const untouched = new Readable({ read: () => expect.unreachable() });
    await expect(
      readBody(untouched, { ...json, 'content-length': '17' }, { limit, takesCode: false }),
    ).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' });
  });

  it.each(['{"__proto__":{}}', '{"a":{"__proto__":1}}', '{"\\u005f_proto__":1}', '{"a":', '\xff'])(
    'such as %s is refused',
    async (text) => {
      const large = { bytes: 1_000, name: 'x' };
      const body = Readable.from([Buffer.from(text, 'latin1')]);
      await expect(readBody(body, json, { limit: large, takesCode: false })).rejects.toMatchObject({
        code: 'BAD_REQUEST',
      });
    },
  );
});

it('a body of more values than any call needs is refused before they are made', async () => {
  const bytes = Buffer.from(`{"source":"","env":[${'{},'.repeat(200_000)}{}]}`);
  const large = { bytes: bytes.length, name: 'codeBytes' };
  await expect(
    readBody(Readable.from([bytes]), json, { limit: large, takesCode: true }),
  ).rejects.toMatchObject({ code: 'BODY_TOO_LARGE', facts: { limit: 'apiJsonValues' } });
});

describe('the limit of a body', () => {
  it("of a deploy follows the tenant's codeBytes, with room for base64 and a source map in JSON", () => {
    const limits = { ...defaultLimits, codeBytes: 1_000_000 };
    expect(bodyLimitOf(true, 'text/plain', limits)).toEqual({ bytes: 1_000_000, name: 'codeBytes' });
    expect(bodyLimitOf(true, 'application/json', limits).bytes).toBeGreaterThan(2 * 1.34 * 1_000_000);
    expect(bodyLimitOf(false, 'application/json', limits).name).toBe('apiBodyBytes');
  });
});
