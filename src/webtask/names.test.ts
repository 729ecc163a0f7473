import { describe, expect, it } from 'vitest';
import { functionNameSchema, tenantIdSchema } from '../contracts/ids.ts';
import { codeReference, parseCodeReference, parseSecretsReference } from './names.ts';
import { parseRunTarget, queryValue, withoutKey } from './run-target.ts';

const tenant = tenantIdSchema.parse('wt-c175-0');
const name = functionNameSchema.parse('a.b~c!$+=:@d');

describe('references', () => {
  it('are read back as they were made', () => {
    expect(parseCodeReference(codeReference(tenant, name))).toEqual({ tenant, name });
  });

  it.each([
    undefined,
    5,
    '',
    'https://example.com',
    'webtask://localhost/api/data/code/',
    'webtask://localhost/api/data/code/a',
    'webtask://localhost/api/data/code/%E0%A4%A',
    'webtask://localhost/api/data/code/a%2F..',
  ])('are not what %j is', (text) => {
    expect(parseCodeReference(text)).toBeNull();
    expect(parseSecretsReference(text)).toBeNull();
  });
});

describe('an address of the run API', () => {
  it.each([
    ['/api/run/acme', 'acme', null, ''],
    ['/api/run/acme/', 'acme', null, ''],
    ['/api/run/acme?key=a/b', 'acme', null, 'key=a/b'],
    ['/api/run/acme/?x', 'acme', null, 'x'],
    ['/api/run/acme/hello', 'acme', 'hello', ''],
    ['/api/run/acme/hello/', 'acme', 'hello', ''],
    ['/api/run/acme/hello/a/b?c=/d', 'acme', 'hello', 'c=/d'],
    ['/api/run/acme/hello?c', 'acme', 'hello', 'c'],
    ['/api/run/acme/a%40b', 'acme', 'a@b', ''],
    ['/api/run//hello', '', 'hello', ''],
  ])('%s', (url, container, fn, query) => {
    expect(parseRunTarget(url)).toEqual({ container, name: fn, query });
  });

  it.each(['/', '/api/runs/a/b', '/run/a/b', 'http://x/api/run/a/b', '*'])('is not %s', (url) => {
    expect(parseRunTarget(url)).toBeNull();
  });

  it('loses its key, however it is spelled, and nothing else', () => {
    expect(withoutKey('/p?key=1')).toBe('/p');
    expect(withoutKey('/p?a=%20&key=1&b&key=2&monkey=3')).toBe('/p?a=%20&b&monkey=3');
    expect(withoutKey('/p?%6Bey=1')).toBe('/p');
    expect(withoutKey('/p')).toBe('/p');
    expect(queryValue('a=1&key=x%2By', 'key')).toBe('x+y');
    expect(queryValue('a=1', 'key')).toBeNull();
  });
});
