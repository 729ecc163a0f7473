/**
 * What each header name means on its way through the gateway. Names come from callers and from tenants' code, both hostile:
 * the spellings remembered here are bounded, and only names that are RFC 9110 tokens are remembered at all.
 */

/** What happens to a header. Numbers, since this is looked up for each header of each request. */
export const HeaderKind = {
  Pass: 0,
  /** RFC 9110, 7.6.1: for this connection only. */
  HopByHop: 1,
  /** Ours: nobody else may say it. */
  Internal: 2,
  /** Says who the caller is on behalf of a proxy. */
  Forwarded: 3,
  Connection: 4,
  ContentLength: 5,
  TraceParent: 6,
  Expect: 7,
  Host: 8,
  Upgrade: 9,
  Invalid: 10,
} as const;
export type HeaderKind = (typeof HeaderKind)[keyof typeof HeaderKind];

const special: Readonly<Record<string, HeaderKind>> = {
  'keep-alive': HeaderKind.HopByHop,
  'proxy-connection': HeaderKind.HopByHop,
  'proxy-authenticate': HeaderKind.HopByHop,
  'proxy-authorization': HeaderKind.HopByHop,
  'proxy-authentication-info': HeaderKind.HopByHop,
  te: HeaderKind.HopByHop,
  trailer: HeaderKind.HopByHop,
  'transfer-encoding': HeaderKind.HopByHop,
  'http2-settings': HeaderKind.HopByHop,
  upgrade: HeaderKind.Upgrade,
  connection: HeaderKind.Connection,
  'content-length': HeaderKind.ContentLength,
  expect: HeaderKind.Expect,
  host: HeaderKind.Host,
  traceparent: HeaderKind.TraceParent,
  'x-wt-params': HeaderKind.Internal,
  forwarded: HeaderKind.Forwarded,
  'x-real-ip': HeaderKind.Forwarded,
  'x-client-ip': HeaderKind.Forwarded,
  'x-cluster-client-ip': HeaderKind.Forwarded,
  'true-client-ip': HeaderKind.Forwarded,
  'cf-connecting-ip': HeaderKind.Forwarded,
  'fastly-client-ip': HeaderKind.Forwarded,
};

const common = [
  'Accept',
  'Accept-Encoding',
  'Accept-Language',
  'Authorization',
  'Cache-Control',
  'Connection',
  'Content-Encoding',
  'Content-Length',
  'Content-Type',
  'Cookie',
  'Date',
  'ETag',
  'Expect',
  'Host',
  'Keep-Alive',
  'Last-Modified',
  'Location',
  'Origin',
  'Referer',
  'Server',
  'Set-Cookie',
  'Transfer-Encoding',
  'Upgrade',
  'User-Agent',
  'Vary',
  'X-Forwarded-For',
  'X-Forwarded-Host',
  'X-Forwarded-Proto',
  'X-Powered-By',
];

/** RFC 9110, 5.6.2 */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const MAX_REMEMBERED = 1_024;
const MAX_REMEMBERED_LENGTH = 64;
const remembered = new Map<string, HeaderKind>();

for (const name of common) for (const spelling of [name, name.toLowerCase()]) kindOfHeader(spelling);

/** @param name as sent, in any case */
export function kindOfHeader(name: string): HeaderKind {
  const known = remembered.get(name);
  if (known !== undefined) return known;
  const kind = classify(name);
  if (kind !== HeaderKind.Invalid && remembered.size < MAX_REMEMBERED && name.length <= MAX_REMEMBERED_LENGTH)
    remembered.set(name, kind);
  return kind;
}

function classify(name: string): HeaderKind {
  if (!TOKEN.test(name)) return HeaderKind.Invalid;
  const lower = name.toLowerCase();
  if (Object.hasOwn(special, lower)) return special[lower]!;
  if (lower.startsWith('x-berth-')) return HeaderKind.Internal;
  if (lower.startsWith('x-forwarded-')) return HeaderKind.Forwarded;
  return HeaderKind.Pass;
}

const NOTHING: ReadonlySet<string> = new Set();
/** Frames the message and names the site: a Connection header cannot take these away. */
const KEPT = new Set(['host', 'content-length']);

/** @returns lower-case names that a Connection header declares to be for this connection only, beyond those always dropped */
export function namedByConnection(value: string | undefined): ReadonlySet<string> {
  if (value === undefined || value === 'keep-alive' || value === 'close' || value === 'Upgrade')
    return NOTHING;
  const names = new Set<string>();
  for (const part of value.split(',')) {
    const name = part.trim().toLowerCase();
    if (name !== '' && name !== 'keep-alive' && name !== 'close' && name !== 'upgrade' && !KEPT.has(name))
      names.add(name);
  }
  return names.size === 0 ? NOTHING : names;
}
