/**
 * The DNS as tenants' code may ask it. By c-ares and not by `dns.lookup`: that would occupy threads which the platform needs
 * for its own files and keys, for as long as a tenant's slow name server likes.
 */
import { Resolver as DnsResolver } from 'node:dns/promises';
import type { LookupType } from '../../contracts/frames.ts';
import { type IpAddress, parseAddress } from '../../kernel/ip-address.ts';
import { EgressError, type LookupResult } from './egress.ts';

export interface Resolver {
  /** Addresses of a name, at least one. @throws EgressError ENOTFOUND, EAI_AGAIN */
  addresses(name: string, family: 0 | 4 | 6): Promise<readonly IpAddress[]>;
  /** Records of a name, or names of an address. @throws EgressError with the code of c-ares */
  records(name: string, type: Exclude<LookupType, 'address'>): Promise<LookupResult>;
}

export interface ResolverOptions {
  /** `address` or `address:port`; empty: those of the host. */
  readonly servers: readonly string[];
  /** The text of /etc/hosts at this moment. */
  readonly readHosts: () => string;
  /** Whether the host can reach IPv6 addresses at all. */
  readonly hasIpv6: () => boolean;
}

const TRY_MS = 2_000;
const TRIES = 3;
const MAX_ADDRESSES = 32;
/** Codes that say that there is no such name or record; others may pass. */
const NOTHING = new Set(['ENOTFOUND', 'ENODATA']);

export function createResolver(options: ResolverOptions): Resolver {
  const dns = new DnsResolver({ timeout: TRY_MS, tries: TRIES });
  if (options.servers.length > 0) dns.setServers(options.servers);
  return {
    addresses: (name, family) => addresses(dns, options, { name, family }),
    records: (name, type) => records(dns, name, type),
  };
}

async function addresses(
  dns: DnsResolver,
  { readHosts, hasIpv6 }: ResolverOptions,
  { name, family }: { readonly name: string; readonly family: 0 | 4 | 6 },
): Promise<readonly IpAddress[]> {
  const known = hostsOf(readHosts(), name).filter((address) => family === 0 || address.family === family);
  if (known.length > 0) return known;
  const questions = [
    ...(family === 6 ? [] : [dns.resolve4(name)]),
    ...(family === 6 || (family === 0 && hasIpv6()) ? [dns.resolve6(name)] : []),
  ];
  const answers = await Promise.allSettled(questions);
  const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  // Some resolvers hand out mapped addresses; they are read as what they stand for.
  const parsed = found.flatMap((text) => parseAddress(text) ?? []).slice(0, MAX_ADDRESSES);
  if (parsed.length > 0) return parsed;
  const codes = answers.flatMap((answer) => (answer.status === 'rejected' ? codeOf(answer.reason) : []));
  throw codes.every((code) => NOTHING.has(code))
    ? new EgressError('ENOTFOUND', `there is no host ${name}`)
    : new EgressError('EAI_AGAIN', `the name servers did not answer for ${name}`);
}

async function records(
  dns: DnsResolver,
  name: string,
  type: Exclude<LookupType, 'address'>,
): Promise<LookupResult> {
  try {
    if (type === 'reverse') return { result: await dns.reverse(name) };
    if (type !== 'A' && type !== 'AAAA') return { result: withTextForBytes(await dns.resolve(name, type)) };
    const found = await (type === 'A'
      ? dns.resolve4(name, { ttl: true })
      : dns.resolve6(name, { ttl: true }));
    return { result: found.map(({ address }) => address), ttls: found.map(({ ttl }) => ttl) };
  } catch (error) {
    const code = codeOf(error);
    throw new EgressError(code, `the name servers answered ${code} for ${name}`, { cause: error });
  }
}

/** TLSA records hold an ArrayBuffer, which JSON cannot carry; so may those of ANY. */
function withTextForBytes(records: unknown): unknown {
  if (!Array.isArray(records)) return records;
  return records.map((record: unknown) => {
    const { data } = record as { readonly data?: unknown };
    if (!(data instanceof ArrayBuffer)) return record;
    return { ...(record as object), data: Buffer.from(data).toString('base64') };
  });
}

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException).code ?? 'ESERVFAIL');
}

/** hosts(5) */
function hostsOf(text: string, name: string): IpAddress[] {
  return text.split('\n').flatMap((line) => {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    const parsed = names.some((one) => one.toLowerCase() === name) ? parseAddress(address) : null;
    return parsed ?? [];
  });
}
