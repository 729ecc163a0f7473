import { describe, expect, it } from 'vitest';
import type { EgressPolicy } from '../../contracts/egress.ts';
import { parseAddress } from '../../kernel/ip-address.ts';
import { TargetPolicy } from './target-policy.ts';

const OWN = '198.41.0.4';
const policy = new TargetPolicy(
  {
    allow: ['10.0.0.5:5432', 'db.corp.test', 'mail.corp.test:25', '[fd00:1::/32]', '*.wide.test'],
    deny: ['8.8.4.4', 'evil.test', '*.evil.test', '10.0.0.66'],
  },
  (address) => address === OWN,
);

function refusal(
  tenant: EgressPolicy,
  target: string,
  { name, port = 443 }: { name?: string; port?: number } = {},
) {
  const address = parseAddress(target)!;
  return policy.refusal(tenant, { names: name === undefined ? [] : [name], address, port });
}

describe('the policy public', () => {
  it('allows public addresses and refuses the others by their kind', () => {
    expect(refusal('public', '93.184.215.14')).toBeNull();
    expect(refusal('public', '2606:4700::1111')).toBeNull();
    for (const [target, kind] of [
      ['10.1.2.3', 'private'],
      ['127.0.0.1', 'loopback'],
      ['169.254.169.254', 'link-local'],
      ['100.64.0.1', 'carrier-grade NAT'],
      ['0.0.0.0', 'unspecified'],
      ['224.0.0.1', 'multicast'],
      ['fd00::1', 'unique local'],
      ['::1', 'loopback'],
      ['64:ff9b::a9fe:a9fe', 'NAT64'],
      ['2002:a9fe:a9fe::', '6to4'],
      // odd spellings
      ['0x7f000001', 'loopback'],
      ['2852039166', 'link-local'],
      ['0251.0376.0251.0376', 'link-local'],
      ['::ffff:10.0.0.1', 'private'],
      ['[::ffff:a9fe:a9fe]', 'link-local'],
      ['fe80::1%eth0', 'link-local'],
      [OWN, 'host’s own'],
    ] as const)
      expect([target, refusal('public', target)]).toEqual([target, `it is a ${kind} address`]);
  });

  it('allows what the operator allows: by address, or by the exact name, on that port', () => {
    expect(refusal('public', '10.0.0.5', { port: 5432 })).toBeNull();
    expect(refusal('public', '::ffff:10.0.0.5', { port: 5432 })).toBeNull();
    expect(refusal('public', '10.0.0.5', { port: 22 })).toMatch(/private/);
    expect(refusal('public', '10.9.9.9', { name: 'db.corp.test', port: 1 })).toBeNull();
    expect(refusal('public', 'fd00:1::5')).toBeNull();
  });

  it('never opens a private address to a name with a wildcard', () => {
    expect(refusal('public', '10.9.9.9', { name: 'a.wide.test' })).toMatch(/private/);
  });

  it('closes port 25 unless it is named', () => {
    expect(refusal('public', '93.184.215.14', { port: 25 })).toBe('port 25 is not open');
    expect(refusal('public', '93.184.215.14', { name: 'mail.corp.test', port: 25 })).toBeNull();
    expect(refusal(['public', 'mx.test'], '93.184.215.14', { name: 'mx.test', port: 25 })).not.toBeNull();
    expect(refusal(['mx.test:25'], '93.184.215.14', { name: 'mx.test', port: 25 })).toBeNull();
    expect(refusal(['93.184.215.0/24:25'], '93.184.215.14', { port: 25 })).toBeNull();
    expect(refusal('public', '93.184.215.14', { port: 587 })).toBeNull();
  });
});

describe('a policy of patterns', () => {
  const list: EgressPolicy = [
    'api.example.com:443',
    '*.example.org',
    '10.1.2.3:5432',
    '172.16.0.0/16',
    '[fd00:2::1]',
  ];

  it('allows these names, at public addresses only', () => {
    expect(refusal(list, '93.184.215.14', { name: 'api.example.com' })).toBeNull();
    expect(refusal(list, '93.184.215.14', { name: 'api.example.com', port: 80 })).toMatch(/does not name/);
    expect(refusal(list, '93.184.215.14', { name: 'a.b.example.org', port: 80 })).toBeNull();
    expect(refusal(list, '93.184.215.14', { name: 'example.org' })).toMatch(/does not name/);
    expect(refusal(list, '93.184.215.14', { name: 'notexample.org' })).toMatch(/does not name/);
    expect(refusal(list, '169.254.169.254', { name: 'api.example.com' })).toMatch(/link-local/);
    expect(refusal(list, '10.1.2.9', { name: 'x.example.org' })).toMatch(/private/);
    expect(refusal(list, OWN, { name: 'x.example.org' })).toMatch(/own/);
  });

  it('allows these addresses, private ones too, in any spelling', () => {
    expect(refusal(list, '10.1.2.3', { port: 5432 })).toBeNull();
    expect(refusal(list, '0xa010203', { port: 5432 })).toBeNull();
    expect(refusal(list, '::ffff:10.1.2.3', { port: 5432 })).toBeNull();
    expect(refusal(list, '10.1.2.3', { port: 5433 })).toMatch(/does not name/);
    expect(refusal(list, '172.16.255.1')).toBeNull();
    expect(refusal(list, '172.17.0.1')).toMatch(/does not name/);
    expect(refusal(list, 'fd00:2::1')).toBeNull();
    expect(refusal(list, '93.184.215.14')).toMatch(/does not name/);
  });

  it('needs the operator’s list as well for a private address behind a name', () => {
    expect(refusal(['db.corp.test:5432'], '10.9.9.9', { name: 'db.corp.test', port: 5432 })).toBeNull();
    expect(refusal(['other.corp.test'], '10.9.9.9', { name: 'other.corp.test' })).toMatch(/private/);
  });
});

it('the policy none allows nothing, whatever the operator allows', () => {
  expect(refusal('none', '93.184.215.14')).toBe('the policy of the tenant is none');
  expect(refusal('none', '10.0.0.5', { port: 5432 })).toBe('the policy of the tenant is none');
});

it('the deny list wins over everything', () => {
  for (const tenant of ['public', ['8.8.4.4', 'evil.test', 'x.evil.test', '10.0.0.66']] as EgressPolicy[]) {
    expect(refusal(tenant, '8.8.4.4')).toMatch(/deny list/);
    expect(refusal(tenant, '::ffff:8.8.4.4')).toMatch(/deny list/);
    expect(refusal(tenant, '93.184.215.14', { name: 'evil.test' })).toMatch(/deny list/);
    expect(refusal(tenant, '93.184.215.14', { name: 'x.evil.test' })).toMatch(/deny list/);
    expect(refusal(tenant, '10.0.0.66')).toMatch(/deny list/);
  }
});

it('names are judged before the DNS hears of them', () => {
  const of = (tenant: EgressPolicy, name: string, port: number | null) =>
    policy.refusalOfName(tenant, name, port);
  expect(of('public', 'any.test', 443)).toBeNull();
  expect(of('none', 'any.test', null)).toMatch(/none/);
  expect(of(['*.example.org:443'], 'a.example.org', 443)).toBeNull();
  expect(of(['*.example.org:443'], 'a.example.org', null)).toBeNull();
  expect(of(['*.example.org:443'], 'a.example.org', 80)).toMatch(/does not name/);
  expect(of(['10.1.2.3'], 'secret.exfiltrated.test', null)).toMatch(/does not name/);
  expect(of('public', 'a.evil.test', null)).toMatch(/deny list/);
});

it('what is no pattern is refused at the start', () => {
  expect(() => new TargetPolicy({ allow: ['no pattern'], deny: [] }, () => false)).toThrow(RangeError);
});
