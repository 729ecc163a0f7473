import { describe, expect, it } from 'vitest';
import { classifyFunction, type Form, type ModuleKind } from './forms.ts';

type Row = [parameters: string, expected: Form];

function check(moduleKind: ModuleKind, rows: readonly Row[], isAsync = false): void {
  it.each(rows)('(%s) is %s', (text, expected) => {
    const parameters = text === '' ? [] : text.split(/,\s*(?![^{]*\})/);
    expect(classifyFunction({ moduleKind, parameters, isAsync })).toBe(expected);
  });
}

describe('a CommonJS function', () => {
  check('commonjs', [
    ['cb', 'webtask'],
    ['callback', 'webtask'],
    ['x', 'webtask'],
    ['ctx, cb', 'webtask'],
    ['context, callback', 'webtask'],
    ['a, b', 'webtask'],
    ['ctx, req, res', 'webtask'],
    ['context, request, response', 'webtask'],
    ['a, b, c', 'webtask'],
    ['req, res', 'node'],
    ['req, res, next', 'node'],
    ['request, response', 'node'],
    ['_req, res', 'node'],
    ['incoming, outgoing', 'node'],
    ['...args', 'node'],
    ['ctx', 'context'],
    ['context', 'context'],
    ['{ data }', 'context'],
    ['', 'context'],
    ['request', 'fetch'],
    ['request, env', 'fetch'],
    ['request, env, ctx', 'fetch'],
    ['event', 'lambda'],
    ['event, context', 'lambda'],
    ['event, context, callback', 'lambda'],
    ['event, cb', 'lambda'],
    ['_event', 'lambda'],
  ]);
});

describe('an async CommonJS function', () => {
  check(
    'commonjs',
    [
      ['ctx', 'context'],
      ['x', 'context'],
      ['{ data, secrets }', 'context'],
      ['', 'context'],
      ['ctx, cb', 'webtask'],
      ['ctx, req, res', 'webtask'],
      ['req, res', 'node'],
      ['request', 'fetch'],
      ['event', 'lambda'],
    ],
    true,
  );
});

describe('a default export of an ES module', () => {
  check('esm', [
    ['', 'fetch'],
    ['request', 'fetch'],
    ['x', 'fetch'],
    ['a, b', 'fetch'],
    ['{ url, method }', 'fetch'],
    ['request, env, ctx', 'fetch'],
    ['request, { API_KEY }', 'fetch'],
    ['...args', 'fetch'],
    ['ctx', 'context'],
    ['{ data }', 'context'],
    ['{ body, secrets }', 'context'],
    ['cb', 'webtask'],
    ['ctx, cb', 'webtask'],
    ['ctx, req, res', 'webtask'],
    ['req, res', 'node'],
    ['event, context', 'lambda'],
  ]);
});
