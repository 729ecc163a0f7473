import { expect, it } from 'vitest';
import { freshForMs } from './freshness.ts';

it.each<[cacheControl: string | undefined, age: string | undefined, ms: number | null]>([
  [undefined, undefined, null],
  ['public', '5', null],
  ['public, max-age=300', undefined, 300_000],
  ['MAX-AGE=300,must-revalidate', '60', 240_000],
  ['max-age="15"', undefined, 15_000],
  ['max-age=15', '20', 0],
  ['max-age=15', 'never', 15_000],
  ['s-maxage=15', undefined, null],
  ['max-age=-1', undefined, 0],
  ['max-age=1e9', undefined, 0],
  ['no-store', undefined, 0],
  ['no-cache, max-age=300', undefined, 0],
])('an answer with Cache-Control %j and Age %j is fresh for %j ms', (cacheControl, age, ms) => {
  expect(freshForMs(cacheControl, age)).toBe(ms);
});
