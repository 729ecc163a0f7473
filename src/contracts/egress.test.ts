import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { egressPolicySchema, isHostName, parseEgressPattern } from './egress.ts';

describe('a pattern', () => {
  it.each([
    ['public', { host: { kind: 'public' }, port: null }],
    ['public:443', { host: { kind: 'public' }, port: 443 }],
    ['api.example.com:443', { host: { kind: 'name', name: 'api.example.com' }, port: 443 }],
    ['API.Example.com', { host: { kind: 'name', name: 'api.example.com' }, port: null }],
    ['*.example.com:8443', { host: { kind: 'below', suffix: 'example.com' }, port: 8443 }],
    ['_db._tcp.example.com', { host: { kind: 'name', name: '_db._tcp.example.com' }, port: null }],
    [
      '10.1.2.3:5432',
      { host: { kind: 'addresses', address: '10.1.2.3', family: 4, prefixBits: 32 }, port: 5432 },
    ],
    [
      '10.0.0.0/8',
      { host: { kind: 'addresses', address: '10.0.0.0', family: 4, prefixBits: 8 }, port: null },
    ],
    ['[fd00::1]:5', { host: { kind: 'addresses', address: 'fd00::1', family: 6, prefixBits: 128 }, port: 5 }],
    ['[fd00::/8]', { host: { kind: 'addresses', address: 'fd00::', family: 6, prefixBits: 8 }, port: null }],
  ])('%s', (text, pattern) => {
    expect(parseEgressPattern(text)).toEqual(pattern);
  });

  it.each([
    '',
    '*',
    '*.',
    '*.*.example.com',
    'a*.example.com',
    'fd00::1',
    '1.2.3',
    '256.1.1.1',
    '10.0.0.0/33',
    '10.0.0.0/8/8',
    '[fd00::/129]',
    '[10.0.0.1]',
    '0x7f.1',
    'a.0x7f',
    'a.1',
    '2130706433',
    'localhost:0',
    'localhost:70000',
    'localhost:080',
    'localhost:',
    'a:b:c',
    '[::1',
    '-a.example.com',
    'a..b',
    'a b',
    'ä.example.com',
    'http://example.com',
    'example.com/path',
    `${'a.'.repeat(130)}com`,
  ])('is not %j', (text) => {
    expect(parseEgressPattern(text)).toBeNull();
  });

  it('never throws, and what it takes it takes in small letters too', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 40 }), (text) => {
        expect(parseEgressPattern(text.toLowerCase())).toEqual(parseEgressPattern(text));
      }),
    );
  });
});

it('a host name is no address in any spelling', () => {
  for (const name of ['localhost', 'a', 'a-b.c_d.e', 'xn--bcher-kva.example'])
    expect(isHostName(name)).toBe(true);
  for (const text of ['1', '127.1', '0x7f', 'a.0', 'A', 'a.', ''])
    expect([text, isHostName(text)]).toEqual([text, false]);
});

it('a policy is a word or a list of patterns', () => {
  for (const policy of ['public', 'none', ['public'], ['*.example.com:443', '10.1.2.3']])
    expect(egressPolicySchema.parse(policy)).toEqual(policy);
  for (const policy of ['all', [], ['none', '*'], ['x y'], null, Array.from({ length: 101 }, () => 'a.b')])
    expect(egressPolicySchema.safeParse(policy).success).toBe(false);
});
