import { describe, expect, it } from 'vitest';
import { defaultLimits } from '../contracts/limits.ts';
import type { FunctionSettings } from '../store/store.ts';
import { checkSecret, checkSettings } from './settings-rules.ts';

const limits = { ...defaultLimits, secrets: 2, secretBytes: 8, settingsBytes: 32 };
const check = (settings: FunctionSettings) => () => checkSettings(settings, limits);

describe('settings', () => {
  it('may be left out', () => {
    expect(check({})).not.toThrow();
  });

  it('at their limits are taken', () => {
    expect(check({ secrets: { A: '12345678', B: '' } })).not.toThrow();
    expect(check({ env: { A: 'x'.repeat(31) }, meta: { a: 'x'.repeat(31) } })).not.toThrow();
  });

  it('more than the limit are refused by its name', () => {
    expect(check({ secrets: { A: '1', B: '2', C: '3' } })).toThrow(
      expect.objectContaining({ code: 'LIMIT_REACHED', facts: { name: 'secrets', limit: 2 } }),
    );
  });

  it.each<[FunctionSettings, string]>([
    [{ secrets: { A: '123456789' } }, 'secretBytes'],
    [{ secrets: { A: 'ééééé' } }, 'secretBytes'],
    [{ env: { A: 'x'.repeat(32) } }, 'settingsBytes'],
    [{ meta: { a: 'x'.repeat(16), b: 'x'.repeat(16) } }, 'settingsBytes'],
  ])('larger than a limit are refused by its name: %j', (settings, name) => {
    expect(check(settings)).toThrow(
      expect.objectContaining({ code: 'SETTING_TOO_LARGE', facts: expect.objectContaining({ name }) }),
    );
  });

  it('that are too large are told with what they are, and not as too many', () => {
    expect(check({ secrets: { API_KEY: 'ééééé' } })).toThrow(
      'The secret API_KEY is too large: 10 bytes; the limit secretBytes is 8.',
    );
    expect(check({ env: { A: 'x'.repeat(32) } })).toThrow('env is too large: 33 bytes');
  });

  it.each<[FunctionSettings, string]>([
    [{ env: { '1A': 'x' } }, 'NAME_INVALID'],
    [{ env: { 'A=B': 'x' } }, 'NAME_INVALID'],
    [{ env: { A: 'a\0b' } }, 'BAD_REQUEST'],
    [{ env: { A: '\ud800' } }, 'BAD_REQUEST'],
    [{ secrets: { '../A': 'x' } }, 'NAME_INVALID'],
    [{ secrets: { A: '\udfff' } }, 'BAD_REQUEST'],
    [{ secrets: { A: 'a\0b' } }, 'BAD_REQUEST'],
    [{ meta: { '': 'x' } }, 'NAME_INVALID'],
    [{ meta: { 'a\r\nb': 'x' } }, 'NAME_INVALID'],
    [{ meta: { ['x'.repeat(129)]: 'x' } }, 'NAME_INVALID'],
  ])('that are not what they must be are refused: %j', (settings, code) => {
    expect(check(settings)).toThrow(expect.objectContaining({ code }));
  });

  it('of meta may have the names that webtask clients use', () => {
    expect(check({ meta: { 'wt-node-dep': '{}', 'a b': 'c' } })).not.toThrow();
  });

  it('say nothing of a secret when they refuse it', () => {
    try {
      checkSecret('A', 'hidden\ud800', limits);
      expect.unreachable();
    } catch (error) {
      expect(String(error)).not.toContain('hidden');
    }
  });
});
