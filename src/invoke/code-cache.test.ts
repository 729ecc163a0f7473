import { expect, it } from 'vitest';
import { CodeCache, type CachedRevision } from './code-cache.ts';

const entry = (bytes: number): CachedRevision =>
  ({
    revision: {},
    code: { code: Buffer.alloc(bytes), sourceMap: null },
    bytecode: null,
  }) as unknown as CachedRevision;

it('a code cache holds what was used last, within its bytes', () => {
  const cache = new CodeCache(100);
  cache.set('a', entry(40));
  cache.set('b', entry(40));
  expect(cache.get('a')).not.toBeNull();
  cache.set('c', entry(40));
  expect(cache.get('b')).toBeNull();
  expect(cache.get('a')).not.toBeNull();
  expect(cache.bytes).toBe(80);
  cache.set('a', entry(10));
  expect(cache.bytes).toBe(50);
  cache.set('huge', entry(101));
  expect(cache.get('huge')).toBeNull();
  expect(cache.bytes).toBe(50);
});
