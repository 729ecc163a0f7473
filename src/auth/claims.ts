/** What a token claims, checked for shape and time (RFC 7519, 4.1). */
import { refusal } from './refusal.ts';
import { parseJsonObject } from './token-text.ts';

export interface Claims {
  readonly all: Readonly<Record<string, unknown>>;
  readonly issuer: string | null;
  readonly audience: readonly string[] | null;
  /** milliseconds since 1970 */
  readonly issuedAt: number | null;
  readonly expiresAt: number | null;
  readonly tokenId: string | null;
}

const MAX_DEPTH = 8;
const MAX_VALUES = 1_000;
const MAX_TOKEN_ID_CHARACTERS = 256;
/** Clocks of issuers that are a little ahead. Expiry gets no tolerance: what has expired is gone. */
const TOLERANCE_MS = 5_000;
const MAX_SECONDS = 100_000_000_000;

/** @throws BerthError TOKEN_INVALID when malformed, expired or not yet valid */
export function parseClaims(payload: Uint8Array, now: number): Claims {
  const all = parseJsonObject(payload);
  if (all === null) throw refusal('its claims are no JSON object');
  freezeBounded(all);
  const expiresAt = timeOf(all, 'exp');
  const issuedAt = timeOf(all, 'iat');
  if (expiresAt !== null && now >= expiresAt) throw refusal('it has expired');
  if ((timeOf(all, 'nbf') ?? 0) > now + TOLERANCE_MS) throw refusal('it is not valid yet');
  if ((issuedAt ?? 0) > now + TOLERANCE_MS) throw refusal('it was issued in the future');
  const tokenId = textOf(all, 'jti');
  if (tokenId !== null && tokenId.length > MAX_TOKEN_ID_CHARACTERS) throw refusal('its "jti" is too long');
  return { all, issuer: textOf(all, 'iss'), audience: audienceOf(all), issuedAt, expiresAt, tokenId };
}

/** Freezes a value that many requests will share. @throws BerthError TOKEN_INVALID when it is too deep or too wide */
export function freezeBounded(value: unknown): void {
  let values = 0;
  const visit = (one: unknown, depth: number): void => {
    values += 1;
    if (depth > MAX_DEPTH || values > MAX_VALUES) throw refusal('its claims are too deep or too many');
    if (typeof one !== 'object' || one === null) return;
    for (const member of Object.values(one)) visit(member, depth + 1);
    Object.freeze(one);
  };
  visit(value, 0);
}

export function textOf(claims: Readonly<Record<string, unknown>>, name: string): string | null {
  const value = claims[name];
  if (value === undefined) return null;
  if (typeof value === 'string') return value;
  throw refusal(`its "${name}" is no string`);
}

function timeOf(claims: Readonly<Record<string, unknown>>, name: string): number | null {
  const value = claims[name];
  if (value === undefined) return null;
  if (typeof value === 'number' && value >= 0 && value <= MAX_SECONDS) return value * 1_000;
  throw refusal(`its "${name}" is no time`);
}

function audienceOf({ aud }: Readonly<Record<string, unknown>>): readonly string[] | null {
  if (aud === undefined) return null;
  if (typeof aud === 'string') return [aud];
  if (Array.isArray(aud) && aud.every((one) => typeof one === 'string')) return aud;
  throw refusal('its "aud" is no string and no list of strings');
}
