import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPublicAddress, kindOfAddress, parseAddress, parseReverseName } from './ip-address.ts';

describe('an address', () => {
  it('of the internet is public', () => {
    for (const address of [
      '1.1.1.1',
      '8.8.8.8',
      '93.184.215.14',
      '172.32.0.1',
      '100.128.0.1',
      '2606:4700::1111',
      '2a00:1450:4001::1',
    ])
      expect([address, isPublicAddress(address)]).toEqual([address, true]);
  });

  it.each([
    ['0.0.0.0', 'unspecified'],
    ['0.1.2.3', 'unspecified'],
    ['10.1.2.3', 'private'],
    ['100.64.0.1', 'carrier-grade NAT'],
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['169.254.169.254', 'link-local'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.0.0.1', 'reserved'],
    ['192.0.2.1', 'documentation'],
    ['192.88.99.1', '6to4 relay'],
    ['192.168.1.1', 'private'],
    ['198.18.0.1', 'benchmarking'],
    ['198.19.255.255', 'benchmarking'],
    ['198.51.100.1', 'documentation'],
    ['203.0.113.1', 'documentation'],
    ['224.0.0.1', 'multicast'],
    ['239.255.255.255', 'multicast'],
    ['240.0.0.1', 'reserved'],
    ['255.255.255.255', 'reserved'],
    ['::', 'unspecified'],
    ['::1', 'loopback'],
    ['::127.0.0.1', 'IPv4-compatible'],
    ['::ffff:127.0.0.1', 'IPv4-mapped'],
    ['::ffff:7f00:1', 'IPv4-mapped'],
    ['::ffff:8.8.8.8', 'IPv4-mapped'],
    ['0:0:0:0:0:ffff:7f00:0001', 'IPv4-mapped'],
    ['::ffff:0:127.0.0.1', 'reserved'],
    ['64:ff9b::7f00:1', 'NAT64'],
    ['64:ff9b::169.254.169.254', 'NAT64'],
    ['64:ff9b:1::1', 'NAT64'],
    ['100::1', 'reserved'],
    ['2001::1', 'Teredo'],
    ['2001:0:a9fe:a9fe::1', 'Teredo'],
    ['2001:10::1', 'reserved'],
    ['2001:db8::1', 'documentation'],
    ['2002:7f00:1::', '6to4'],
    ['2002:a9fe:a9fe::', '6to4'],
    ['3fff::1', 'documentation'],
    ['5f00::1', 'reserved'],
    ['fc00::1', 'unique local'],
    ['fd00:ec2::254', 'unique local'],
    ['fe80::1', 'link-local'],
    ['fe80::1%eth0', 'scoped'],
    ['2606:4700::1111%eth0', 'scoped'],
    ['fec0::1', 'site-local'],
    ['ff02::1', 'multicast'],
  ])('%s is not: %s', (address, kind) => {
    expect(kindOfAddress(address)).toBe(kind);
    expect(isPublicAddress(address)).toBe(false);
  });

  it('in another spelling than the usual one is none', () => {
    for (const text of ['', '0x7f.1', '2130706433', '0177.0.0.1', '127.1', '1.1.1.1 ', 'localhost', '[::1]'])
      expect(kindOfAddress(text)).toBe('invalid');
  });

  it('mapped into IPv6 is never public, whichever it is', () => {
    fc.assert(fc.property(fc.ipV4(), (address) => !isPublicAddress(`::ffff:${address}`)));
  });
});

describe('reading an address', () => {
  it.each([
    ['2130706433', '127.0.0.1'],
    ['0x7f000001', '127.0.0.1'],
    ['0x7F.1', '127.0.0.1'],
    ['017700000001', '127.0.0.1'],
    ['0177.0.0.1', '127.0.0.1'],
    ['127.1', '127.0.0.1'],
    ['127.0.1', '127.0.0.1'],
    ['127.0.0.1.', '127.0.0.1'],
    ['0x7f.0x0.0x0.0x1', '127.0.0.1'],
    ['00000177.00.00.01', '127.0.0.1'],
    ['0', '0.0.0.0'],
    ['0x', '0.0.0.0'],
    ['2852039166', '169.254.169.254'],
    ['0xa9fea9fe', '169.254.169.254'],
    ['0251.0376.0251.0376', '169.254.169.254'],
    ['169.254.43518', '169.254.169.254'],
    ['::ffff:169.254.169.254', '169.254.169.254'],
    ['[::ffff:a9fe:a9fe]', '169.254.169.254'],
    ['0:0:0:0:0:FFFF:A9FE:A9FE', '169.254.169.254'],
    ['::ffff:10.1.2.3%eth0', '10.1.2.3'],
    ['FE80::1%25', 'fe80::1'],
    ['0:0::0:1', '::1'],
    ['[::1]', '::1'],
    ['64:ff9b::10.1.2.3', '64:ff9b::a01:203'],
    ['8.8.8.8', '8.8.8.8'],
  ])('%s is %s', (text, address) => {
    expect(parseAddress(text)?.address).toBe(address);
  });

  it.each([
    '',
    'localhost',
    '1.2.3.4.5',
    '256.1.1.1',
    '1.1.1.256',
    '08.1.1.1',
    '4294967296',
    '1..1',
    'a.b',
    '0xg',
    '-1',
  ])('there is none in %j', (text) => {
    expect(parseAddress(text)).toBeNull();
  });

  it('gives back every usual spelling of IPv4, and reads any IPv6 to one spelling', () => {
    fc.assert(fc.property(fc.ipV4(), (address) => parseAddress(address)?.address === address));
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const once = parseAddress(text)!.address;
        return parseAddress(once)?.address === once;
      }),
    );
  });

  it('agrees with what URLs make of a host of digits', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.nat(300).map(String),
            fc.nat(300).map((n) => `0x${n.toString(16)}`),
            fc.nat(300).map((n) => `0${n.toString(8)}`),
          ),
          { minLength: 1, maxLength: 4 },
        ),
        (parts) => {
          const text = parts.join('.');
          const host = URL.canParse(`http://${text}/`) ? new URL(`http://${text}/`).hostname : null;
          expect(parseAddress(text)?.address ?? null).toBe(host);
        },
      ),
    );
  });
});

describe('names in the DNS of addresses', () => {
  it.each([
    ['1.0.0.10.in-addr.arpa', '10.0.0.1'],
    ['254.169.in-addr.arpa', '169.254.0.0'],
    ['1.0-25.2.0.192.in-addr.arpa', '192.0.2.0'],
    ['5.4.3.2.1.in-addr.arpa', '1.2.3.4'],
    ['999.10.in-addr.arpa', '10.0.0.0'],
    ['in-addr.arpa', '0.0.0.0'],
    [`1.${'0.'.repeat(30)}f.ip6.arpa`, 'f000::1'],
    ['0.0.d.f.ip6.arpa', 'fd00::'],
    ['ip6.arpa', '::'],
  ])('%s is about %s', (name, address) => {
    expect(parseReverseName(name)?.address).toBe(address);
  });

  it.each(['a.test', 'in-addr.arpa.test', '1.0.0.10.xin-addr.arpa', 'arpa'])('%s is about none', (name) => {
    expect(parseReverseName(name)).toBeNull();
  });
});
