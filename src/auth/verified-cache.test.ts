import { describe, expect, it } from 'vitest';
import type { TenantId } from '../contracts/ids.ts';
import { type Verified, VerifiedCache } from './verified-cache.ts';

const acme = 'acme' as TenantId;
const verified = (until: number): Verified => ({ until }) as Verified;
/** All have the same end, as tokens with one signature would. */
const token = (start: string): string => start.padEnd(100, 'x');

describe('a verified token', () => {
  it('is found as a whole only: its end, another start or another tenant are not it', () => {
    const cache = new VerifiedCache({ maxEntries: 10 });
    const one = verified(1);
    cache.set(token('a'), acme, one);
    expect(cache.get(token('a'), acme)).toBe(one);
    const others = [token('b'), token('a').slice(1), token('a').slice(-43), `${token('a')}x`];
    expect(others.map((other) => cache.get(other, acme))).toEqual([null, null, null, null]);
    expect([cache.get(token('a'), null), cache.get(`${token('a')} acme`, null)]).toEqual([null, null]);
  });

  it('takes the place of another with the same end', () => {
    const cache = new VerifiedCache({ maxEntries: 10 });
    const [one, two] = [verified(1), verified(2)];
    cache.set(token('a'), acme, one);
    cache.set(token('b'), acme, two);
    expect([cache.get(token('a'), acme), cache.get(token('b'), acme), cache.size]).toEqual([null, two, 1]);
    cache.delete(token('b'), acme);
    expect([cache.get(token('b'), acme), cache.size]).toEqual([null, 0]);
  });

  it.each([
    ['in number', { maxEntries: 3 }],
    ['in characters', { maxEntries: 100, maxCharacters: 30 }],
  ])('is bounded %s, and one that is used stays longer', (_what, bounds) => {
    const cache = new VerifiedCache(bounds);
    const tokens = Array.from({ length: 20 }, (_, n) => `token ${n}`.padEnd(10));
    for (const each of tokens) {
      cache.set(each, acme, verified(1));
      cache.get(tokens[0]!, acme);
    }
    expect(tokens.filter((each) => cache.get(each, acme) !== null)).toEqual([
      'token 0   ',
      'token 18  ',
      'token 19  ',
    ]);
  });

  it('that is set again is one', () => {
    const cache = new VerifiedCache({ maxEntries: 100, maxCharacters: 30 });
    for (let n = 0; n < 10; n++) cache.set('token 1   ', acme, verified(n));
    cache.set('token 2   ', acme, verified(2));
    expect([cache.size, cache.get('token 1   ', acme)?.until]).toEqual([2, 9]);
  });
});
