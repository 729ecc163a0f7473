/** The compact forms of tokens, taken apart: JWS (RFC 7515, 7.1) and JWE (RFC 7516, 7.1). Nothing here is believed yet. */
import { MAX_TOKEN_CHARACTERS, refusal } from './refusal.ts';

/** Signature algorithms of key sets. Never a symmetric one: a public key would be the secret. */
const jwksAlgorithms = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'] as const;
export type JwksAlgorithm = (typeof jwksAlgorithms)[number];

export type TokenText =
  | {
      readonly kind: 'signed';
      readonly text: string;
      readonly algorithm: 'HS256' | JwksAlgorithm;
      readonly kid: string | null;
    }
  | {
      readonly kind: 'encrypted';
      readonly text: string;
      readonly kid: string | null;
      readonly isNested: boolean;
    };

const COMPACT = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){2,4}$/;
const MAX_KID_CHARACTERS = 256;
/** What a token says about its own keys, and extensions that we do not know: all refused, never ignored. */
const REFUSED = [
  'crit',
  'jku',
  'jwk',
  'x5u',
  'x5c',
  'b64',
  'zip',
  'p2s',
  'p2c',
  'epk',
  'apu',
  'apv',
  'iv',
  'tag',
];

/** @throws BerthError TOKEN_INVALID */
export function parseTokenText(text: string): TokenText {
  if (text.length > MAX_TOKEN_CHARACTERS)
    throw refusal(`it is longer than ${MAX_TOKEN_CHARACTERS} characters`);
  if (!COMPACT.test(text)) throw refusal('it is no JWT');
  const parts = text.split('.');
  const header = parseHeader(parts[0]!);
  const kid = kidOf(header);
  if (parts.length === 3) return { kind: 'signed', text, algorithm: algorithmOf(header, parts), kid };
  if (parts.length === 5) return encrypted(text, parts, header);
  throw refusal('it is no JWT');
}

function parseHeader(part: string): Readonly<Record<string, unknown>> {
  const header = parseJsonObject(Buffer.from(part, 'base64url'));
  if (header === null) throw refusal('its header is no JSON object');
  const refused = REFUSED.find((name) => Object.hasOwn(header, name));
  if (refused !== undefined) throw refusal(`its header has "${refused}", which is not accepted`);
  return header;
}

function kidOf({ kid }: Readonly<Record<string, unknown>>): string | null {
  if (kid === undefined) return null;
  if (typeof kid === 'string' && kid.length > 0 && kid.length <= MAX_KID_CHARACTERS) return kid;
  throw refusal('its "kid" is not valid');
}

function algorithmOf(
  { alg }: Readonly<Record<string, unknown>>,
  parts: readonly string[],
): 'HS256' | JwksAlgorithm {
  const known = ['HS256' as const, ...jwksAlgorithms].find((name) => name === alg);
  if (known === undefined) throw refusal('its algorithm is not accepted');
  if (parts.includes('')) throw refusal('it is not signed');
  return known;
}

function encrypted(
  text: string,
  parts: readonly string[],
  header: Readonly<Record<string, unknown>>,
): TokenText {
  if (header['alg'] !== 'dir' || header['enc'] !== 'A256GCM' || parts[1] !== '') {
    throw refusal('its encryption is not accepted: it must be "dir" with "A256GCM"');
  }
  const { cty } = header;
  const isNested = typeof cty === 'string' && cty.toUpperCase() === 'JWT';
  return { kind: 'encrypted', text, kid: kidOf(header), isNested };
}

/** null: not JSON, or no object */
export function parseJsonObject(bytes: Uint8Array): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null; // the caller says what is wrong with it
  }
}
