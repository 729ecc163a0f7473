import { type CryptoKey, exportJWK, generateKeyPair, type JWK } from 'jose';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { JwksCache } from './jwks-cache.ts';
import { KeySet } from './key-set.ts';

const url = 'https://idp.example/jwks';
const wanted = (kid: string | null) => ({ algorithm: 'ES256', kid }) as const;

let one: JWK;
let two: JWK;
let privateJwk: JWK;

beforeAll(async () => {
  const pair = await generateKeyPair('ES256', { extractable: true });
  privateJwk = await exportJWK(pair.privateKey);
  one = { ...(await exportJWK(pair.publicKey)), kid: 'one' };
  two = {
    ...(await exportJWK((await generateKeyPair('ES256', { extractable: true })).publicKey)),
    kid: 'two',
  };
});

describe('the cache of key sets', () => {
  let time: number;
  let fetches: number;
  let answer: () => Promise<unknown>;
  let freshMs: number | null;
  let cache: JwksCache;

  beforeEach(() => {
    time = 1_000_000;
    fetches = 0;
    freshMs = null;
    answer = () => Promise.resolve({ keys: [one] });
    cache = new JwksCache({
      clock: { now: () => time },
      fetch: async () => {
        fetches += 1;
        return { json: await answer(), freshMs };
      },
    });
  });

  it('fetches once for many, and again when the set is old', async () => {
    const found = await Promise.all(Array.from({ length: 20 }, () => cache.find(url, wanted('one'))));
    expect(found.every(({ keys }) => keys.length === 1)).toBe(true);
    expect(found[0]!.until).toBe(time + 60_000);
    expect(fetches).toBe(1);
    time += 60_000;
    await cache.find(url, wanted('one'));
    expect(fetches).toBe(2);
  });

  it.each([
    [300_000, 300_000],
    [0, 1_000],
    [86_400_000, 600_000],
  ])('believes a set that says %i ms for %i ms', async (says, ms) => {
    freshMs = says;
    const { until } = await cache.find(url, wanted('one'));
    expect(until).toBe(time + ms);
    answer = () => Promise.resolve({ keys: [two] });
    time += ms - 1;
    expect((await cache.find(url, wanted('one'))).keys).toHaveLength(1);
    time += 1;
    expect((await cache.find(url, wanted('one'))).keys).toEqual([]);
  });

  it('asks a set that answers slowly less often, and believes it until then', async () => {
    freshMs = 0;
    answer = () => {
      time += 4_000;
      return Promise.resolve({ keys: [one] });
    };
    const { until } = await cache.find(url, wanted('one'));
    expect(until).toBe(time + 20_000);
    time = until - 1;
    expect((await cache.find(url, wanted('made-up'))).keys).toEqual([]);
    expect(fetches).toBe(1);
    time = until;
    expect((await cache.find(url, wanted('one'))).keys).toHaveLength(1);
    expect(fetches).toBe(2);
  });

  it('looks once for many tokens with unknown keys at the same time', async () => {
    await cache.find(url, wanted('one'));
    time += 1_000;
    answer = () => Promise.resolve({ keys: [one, two] });
    const found = await Promise.all(Array.from({ length: 20 }, () => cache.find(url, wanted('two'))));
    expect(found.every(({ keys }) => keys.length === 1)).toBe(true);
    expect(fetches).toBe(2);
  });

  it('looks again for an unknown key, but not before the cool-down', async () => {
    await cache.find(url, wanted('one'));
    answer = () => Promise.resolve({ keys: [one, two] });
    expect((await cache.find(url, wanted('two'))).keys).toEqual([]);
    expect(fetches).toBe(1);
    time += 1_000;
    expect((await cache.find(url, wanted('two'))).keys).toHaveLength(1);
    expect(fetches).toBe(2);
    for (let n = 0; n < 50; n++) await cache.find(url, wanted(`made-up-${n}`));
    expect(fetches).toBe(2);
  });

  it('cools down after a failure too, and goes on with a set that is still young', async () => {
    answer = () => Promise.reject(new Error('down'));
    await expect(cache.find(url, wanted('one'))).rejects.toThrow('cannot be fetched');
    await expect(cache.find(url, wanted('one'))).rejects.toThrow('cannot be fetched');
    expect(fetches).toBe(1);
    time += 1_000;
    answer = () => Promise.resolve({ keys: [one] });
    await cache.find(url, wanted('one'));
    time += 1_000;
    answer = () => Promise.reject(new Error('down'));
    expect((await cache.find(url, wanted('made-up'))).keys).toEqual([]);
    expect((await cache.find(url, wanted('one'))).keys).toHaveLength(1);
    expect(fetches).toBe(3);
  });

  it('has a limit of fetches under way, of all tenants together', async () => {
    const bounded = new JwksCache({
      clock: { now: () => time },
      fetch: () => new Promise(() => undefined),
      maxFetches: 2,
    });
    for (const n of [1, 2]) void bounded.find(`${url}${n}`, wanted('one'));
    await expect(bounded.find(`${url}3`, wanted('one'))).rejects.toThrow('cannot be fetched');
  });
});

describe('a key set', () => {
  const find = async (json: unknown, kid: string | null = null): Promise<readonly CryptoKey[]> =>
    new KeySet(json).find(wanted(kid));

  it('gives keys by id; those without id, and tokens without id, fit any', async () => {
    const nameless = { ...two, kid: undefined };
    expect(await find({ keys: [one, two] }, 'two')).toHaveLength(1);
    expect(await find({ keys: [one, nameless] }, 'two')).toHaveLength(1);
    expect(await find({ keys: [one, two] })).toHaveLength(2);
  });

  it('leaves out keys of other kinds, uses and sizes', async () => {
    const keys = [
      { kty: 'oct', k: 'AAAA', kid: 'one' },
      { ...one, use: 'enc' },
      { ...one, alg: 'ES384' },
      { ...one, crv: 'P-384' },
      { ...one, x: 'x'.repeat(5_000) },
      { ...one, y: 'AAAA' },
      { kty: 'RSA', n: 'A'.repeat(10_000), e: 'AQAB', kid: 'one' },
      null,
      7,
    ];
    expect(await find({ keys }, 'one')).toEqual([]);
  });

  it('takes no private part, even of a set that publishes one', async () => {
    const [key] = await find({ keys: [{ ...privateJwk, kid: 'one' }] }, 'one');
    expect(key!.type).toBe('public');
  });

  it('is refused when it is none, or too large', async () => {
    for (const json of [null, [], {}, { keys: {} }, { keys: Array.from({ length: 65 }, () => one) }])
      expect(() => new KeySet(json)).toThrow(/keys|expected|Too big/i);
  });

  it('tries a bounded number of keys for one token', async () => {
    const many = Array.from({ length: 64 }, () => ({ ...one, kid: undefined }));
    expect(await find({ keys: many })).toHaveLength(8);
  });
});
