/**
 * IP addresses: every spelling to one, and what kind of address it is. Only arithmetic: `BlockList` of `node:net` does no I/O.
 * Ranges are those of IANA's special-purpose registries (RFC 6890).
 */
import { BlockList, isIP } from 'node:net';

export interface IpAddress {
  /** In the usual spelling (RFC 5952 for IPv6), an IPv4-mapped address as the IPv4 address that it stands for. */
  readonly address: string;
  readonly family: 4 | 6;
}

type Range = readonly [address: string, prefixBits: number, kind: string];

const special4: readonly Range[] = [
  ['0.0.0.0', 8, 'unspecified'],
  ['10.0.0.0', 8, 'private'],
  ['100.64.0.0', 10, 'carrier-grade NAT'],
  ['127.0.0.0', 8, 'loopback'],
  ['169.254.0.0', 16, 'link-local'],
  ['172.16.0.0', 12, 'private'],
  ['192.0.0.0', 24, 'reserved'],
  ['192.0.2.0', 24, 'documentation'],
  ['192.88.99.0', 24, '6to4 relay'],
  ['192.168.0.0', 16, 'private'],
  ['198.18.0.0', 15, 'benchmarking'],
  ['198.51.100.0', 24, 'documentation'],
  ['203.0.113.0', 24, 'documentation'],
  ['224.0.0.0', 4, 'multicast'],
  ['240.0.0.0', 4, 'reserved'],
];

/** The first that fits. What leads to an IPv4 address inside is refused as a whole: who means it can write it plainly. */
const special6: readonly Range[] = [
  ['::', 128, 'unspecified'],
  ['::1', 128, 'loopback'],
  ['::ffff:0:0', 96, 'IPv4-mapped'],
  ['::', 96, 'IPv4-compatible'],
  ['64:ff9b::', 96, 'NAT64'],
  ['64:ff9b:1::', 48, 'NAT64'],
  ['2001::', 32, 'Teredo'],
  ['2001::', 23, 'reserved'],
  ['2001:db8::', 32, 'documentation'],
  ['2002::', 16, '6to4'],
  ['3fff::', 20, 'documentation'],
  ['fc00::', 7, 'unique local'],
  ['fe80::', 10, 'link-local'],
  ['fec0::', 10, 'site-local'],
  ['ff00::', 8, 'multicast'],
];

const kinds4 = special4.map(listOf('ipv4'));
const kinds6 = special6.map(listOf('ipv6'));
/** Outside of it nothing is handed out to anybody (RFC 4291, 2.4). */
const global6 = new BlockList();
global6.addSubnet('2000::', 3, 'ipv6');

function listOf(type: 'ipv4' | 'ipv6') {
  return ([address, prefixBits, kind]: Range): { readonly list: BlockList; readonly kind: string } => {
    const list = new BlockList();
    list.addSubnet(address, prefixBits, type);
    return { list, kind };
  };
}

/**
 * @param text an address in its usual spelling; anything else is of the kind `invalid`
 * @returns `public`, or the name of the special range that it is in
 */
export function kindOfAddress(text: string): string {
  const family = isIP(text);
  if (family === 0) return 'invalid';
  if (family === 4) return kinds4.find(({ list }) => list.check(text, 'ipv4'))?.kind ?? 'public';
  if (text.includes('%')) return 'scoped';
  const special = kinds6.find(({ list, kind }) => isIn6(list, kind, text));
  return special?.kind ?? (global6.check(text, 'ipv6') ? 'public' : 'reserved');
}

/** `BlockList` takes a mapped address for the IPv4 one, so `::ffff:0:0/96` does not find it. */
function isIn6(list: BlockList, kind: string, text: string): boolean {
  return kind === 'IPv4-mapped' ? mappedAddress(text) !== null : list.check(text, 'ipv6');
}

/** False for anything that is no IP address in its usual spelling. */
export function isPublicAddress(text: string): boolean {
  return kindOfAddress(text) === 'public';
}

/**
 * Reads an address as `inet_aton` and URLs do: decimal, octal and hexadecimal parts, one to four of them; IPv6 in brackets
 * or not, with a zone, which is dropped.
 * @returns null when it is a name
 */
export function parseAddress(text: string): IpAddress | null {
  if (isIP(text) === 4) return { address: text, family: 4 };
  const plain = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
  if (isIP(plain) === 6) return parse6(plain.replace(/%.*$/, ''));
  return parse4(text);
}

function parse6(text: string): IpAddress {
  const mapped = mappedAddress(text);
  if (mapped !== null) return { address: mapped, family: 4 };
  return { address: new URL(`http://[${text}]`).hostname.slice(1, -1), family: 6 };
}

/** @returns the IPv4 address in `::ffff:a.b.c.d`, however it is written */
function mappedAddress(text: string): string | null {
  const [, high, low] =
    /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/.exec(new URL(`http://[${text}]`).hostname) ?? [];
  if (high === undefined || low === undefined) return null;
  return dotted(Number.parseInt(high, 16) * 0x1_0000 + Number.parseInt(low, 16));
}

/**
 * What a name in the DNS of addresses (RFC 1035, 3.5; RFC 3596, 2.5) is about.
 * @returns the address, or the first one of a zone; null for any other name
 */
export function parseReverseName(name: string): IpAddress | null {
  const [, path = '', zone] = /^(?:(.+)\.)?(in-addr|ip6)\.arpa$/.exec(name) ?? [];
  if (zone === undefined) return null;
  const labels = path.split('.').reverse();
  if (zone === 'in-addr')
    return { address: filled(labels, /^(?:\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])$/, 4).join('.'), family: 4 };
  const digits = filled(labels, /^[0-9a-f]$/, 32).join('');
  return parse6(digits.match(/.{4}/g)!.join(':'));
}

/** As many labels as fit, from the root on, and zeros for the rest: below an address there may be other names (RFC 2317). */
function filled(labels: readonly string[], fits: RegExp, count: number): string[] {
  const end = labels.findIndex((label) => !fits.test(label));
  const taken = labels.slice(0, end === -1 ? count : Math.min(end, count));
  return [...taken, ...Array.from({ length: count - taken.length }, () => '0')];
}

const PART = /^(?:0x[0-9a-f]*|\d+)$/i;
const MAX_4 = 0xffff_ffff;
const MAX_PARTS = 4;

/** inet_aton(3): the last part fills all bytes that are left. */
function parse4(text: string): IpAddress | null {
  const parts = (text.endsWith('.') ? text.slice(0, -1) : text).split('.');
  if (parts.length > MAX_PARTS || !parts.every((part) => PART.test(part))) return null;
  const numbers = parts.map(numberOf);
  const last = numbers.pop()!;
  if (numbers.some((number) => !(number <= 0xff)) || !(last < 256 ** (MAX_PARTS - numbers.length)))
    return null;
  const value = numbers.reduce((sum, number, index) => sum + number * 256 ** (3 - index), last);
  return value <= MAX_4 ? { address: dotted(value), family: 4 } : null;
}

/** @returns NaN for digits that its base does not have */
function numberOf(part: string): number {
  if (/^0x/i.test(part)) return part.length === 2 ? 0 : Number(part);
  if (!/^0\d/.test(part)) return Number(part);
  return /^[0-7]+$/.test(part) ? Number.parseInt(part, 8) : Number.NaN;
}

function dotted(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join('.');
}
