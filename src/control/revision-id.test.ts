import { describe, expect, it } from 'vitest';
import type { Prepared } from '../modules/preparer.ts';
import { revisionIdOf } from './revision-id.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);
const base: Prepared = {
  prepared: { code: bytes('code'), sourceMap: null, source: bytes('source') },
  form: 'webtask',
  isFormFixed: false,
  moduleKind: 'commonjs',
  language: 'javascript',
  evaluate: 'script',
  filename: 'index.js',
};

describe('a revision id', () => {
  it('is the same for the same content, whatever object holds it', () => {
    expect(revisionIdOf(base)).toBe(revisionIdOf(structuredClone(base)));
    expect(revisionIdOf(base)).toMatch(/^r[0-9a-f]{24}$/);
  });

  it.each<[string, Partial<Prepared>]>([
    ['code', { prepared: { ...base.prepared, code: bytes('other') } }],
    ['source', { prepared: { ...base.prepared, source: bytes('other') } }],
    ['source map', { prepared: { ...base.prepared, sourceMap: bytes('{}') } }],
    ['form', { form: 'node' }],
    ['form set by hand', { isFormFixed: true }],
    ['module kind', { moduleKind: 'esm' }],
    ['language', { language: 'typescript' }],
    ['evaluation', { evaluate: 'module' }],
    ['file name', { filename: 'other.js' }],
  ])('changes with the %s', (_what, change) => {
    expect(revisionIdOf({ ...base, ...change })).not.toBe(revisionIdOf(base));
  });

  it('tells where one part ends and the next begins', () => {
    const split = (code: string, source: string) =>
      revisionIdOf({ ...base, prepared: { code: bytes(code), sourceMap: null, source: bytes(source) } });
    expect(split('ab', 'c')).not.toBe(split('a', 'bc'));
  });
});
