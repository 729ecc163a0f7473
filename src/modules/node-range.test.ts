import { expect, test } from 'vitest';
import { isNodeRange, nodeMajorFor, nodeVersionFor } from './node-range.ts';

const versions = ['24.21.0', '22.23.3', '26.10.0'];

test.each([
  [null, '24.21.0'],
  ['*', '24.21.0'],
  ['>=20', '24.21.0'],
  ['22', '22.23.3'],
  ['^22.5.0', '22.23.3'],
  ['>=25', '26.10.0'],
  ['20.x', null],
])('engines.node %s runs on %s', (range, version) => {
  expect(nodeVersionFor(range, versions)).toBe(version);
});

test('what is not there any more is still asked for, and not replaced by another', () => {
  expect(nodeMajorFor('^20.1.0', versions)).toBe(20);
  expect(nodeMajorFor('22', versions)).toBe(22);
});

test('only ranges as npm has them are taken', () => {
  expect(['>=22 <25', '22 || 24', 'lts/*', '', 'x'.repeat(300)].map(isNodeRange)).toEqual([
    true,
    true,
    false,
    true,
    false,
  ]);
});
