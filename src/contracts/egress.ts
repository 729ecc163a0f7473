/**
 * Where tenants' code may connect to: `public`, `none`, or patterns. Only the grammar; what it means is decided by
 * `sandboxes/egress`, and told in docs/egress.md.
 *
 *   public                  every public address
 *   api.example.com[:443]   this name
 *   *.example.com[:443]     every name below it, however deep
 *   10.1.2.3[:5432]         this address; `10.1.0.0/16`: these
 *   [fd00::1][:5432]        in brackets, as in URLs; `[fd00::/8]`
 *
 * Without a port every port is meant, but 25.
 */
import { z } from 'zod';

export interface EgressPattern {
  readonly host:
    | { readonly kind: 'public' }
    | { readonly kind: 'name'; readonly name: string }
    /** every name that ends in `.suffix` */
    | { readonly kind: 'below'; readonly suffix: string }
    | {
        readonly kind: 'addresses';
        readonly address: string;
        readonly family: 4 | 6;
        readonly prefixBits: number;
      };
  /** null: all ports */
  readonly port: number | null;
}

export type EgressPolicy = 'public' | 'none' | readonly string[];
export const DEFAULT_EGRESS_POLICY: EgressPolicy = 'public';

const MAX_PATTERNS = 100;
const MAX_PATTERN_CHARACTERS = 300;
/** RFC 1123 labels, and `_`, which services use. A last label of digits would be an address in an odd spelling. */
const NAME =
  /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?!\d+$|0x[0-9a-f]*$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const BITS = { 4: 32, 6: 128 } as const;
const PORT = /^[1-9]\d{0,4}$/;
const MAX_PORT = 65_535;

/** A host name in its usual spelling: small letters, no dot at the end. */
export function isHostName(text: string): boolean {
  return NAME.test(text);
}

/** @returns null when it is no pattern */
export function parseEgressPattern(text: string): EgressPattern | null {
  const parts = splitPort(text.toLowerCase());
  if (parts === null) return null;
  const host = hostOf(parts.host);
  return host === null ? null : { host, port: parts.port };
}

function splitPort(text: string): { readonly host: string; readonly port: number | null } | null {
  const [, host = '', portText] = /^(\[[^\]]*\]|[^:]*)(?::([^:]*))?$/.exec(text) ?? [];
  if (host === '') return null;
  if (portText === undefined) return { host, port: null };
  const port = PORT.test(portText) ? Number(portText) : 0;
  return port === 0 || port > MAX_PORT ? null : { host, port };
}

function hostOf(text: string): EgressPattern['host'] | null {
  if (text === 'public') return { kind: 'public' };
  if (text.startsWith('[')) return addressesOf(text.slice(1, -1), 6);
  if (/^[\d./]+$/.test(text)) return addressesOf(text, 4);
  if (text.startsWith('*.'))
    return isHostName(text.slice(2)) ? { kind: 'below', suffix: text.slice(2) } : null;
  return isHostName(text) ? { kind: 'name', name: text } : null;
}

function addressesOf(text: string, family: 4 | 6): EgressPattern['host'] | null {
  const [address = '', bits, ...more] = text.split('/');
  const isAddress = (family === 4 ? z.ipv4() : z.ipv6()).safeParse(address).success;
  const prefixBits = bits === undefined ? BITS[family] : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
  if (!isAddress || more.length > 0 || prefixBits < 0 || prefixBits > BITS[family]) return null;
  return { kind: 'addresses', address, family, prefixBits };
}

export const egressPatternSchema = z
  .string()
  .max(MAX_PATTERN_CHARACTERS)
  .refine(
    (text) => parseEgressPattern(text) !== null,
    'must be public, a host name, *.name, an address or a range of addresses (IPv6 in brackets), each with :port or without',
  );

export const egressPolicySchema = z.union([
  z.enum(['public', 'none']),
  z.array(egressPatternSchema).min(1).max(MAX_PATTERNS).readonly(),
]);
