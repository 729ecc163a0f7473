/** Finds the key that proves a token: by its `kid`, else each of the tenant's keys of the kind that the algorithm needs. */
import type { KeyObject } from 'node:crypto';
import { compactDecrypt, compactVerify, type CryptoKey, errors } from 'jose';
import type { PlatformState, RingKey, TenantState } from './key-ring.ts';
import type { JwksCache } from './jwks/jwks-cache.ts';
import { refusal } from './refusal.ts';
import { type JwksAlgorithm, parseTokenText, type TokenText } from './token-text.ts';

export interface Proven {
  readonly payload: Uint8Array;
  readonly signer: 'platform' | 'tenant';
  /** Where the key came from, when from a key set. */
  readonly keySetUrl: string | null;
  /** milliseconds since 1970: how long that key set is believed; null: no key set */
  readonly until: number | null;
}

export interface Proofs {
  readonly platform: PlatformState;
  /** null: for things of the platform, no tenant's key counts */
  readonly own: TenantState | null;
  readonly jwks: JwksCache;
}

type Signed = Extract<TokenText, { kind: 'signed' }>;
type Encrypted = Extract<TokenText, { kind: 'encrypted' }>;

/** Keys that are tried for a token without `kid`; of more, the newest. */
const MAX_TRIED_KEYS = 16;

/** @throws BerthError TOKEN_INVALID */
export async function prove(token: TokenText, proofs: Proofs): Promise<Proven> {
  if (token.kind === 'signed') return proveSigned(token, proofs);
  const payload = await decrypt(token, proofs.own);
  if (!token.isNested) return { payload, signer: 'tenant', keySetUrl: null, until: null };
  const nested = parseTokenText(Buffer.from(payload).toString('latin1'));
  if (nested.kind !== 'signed') throw refusal('it is encrypted twice');
  return proveSigned(nested, proofs);
}

async function proveSigned(token: Signed, proofs: Proofs): Promise<Proven> {
  const { algorithm } = token;
  return algorithm === 'HS256' ? proveBySecret(token, proofs) : proveByKeySet(token, algorithm, proofs);
}

async function proveBySecret(token: Signed, { platform, own }: Proofs): Promise<Proven> {
  const rest = { keySetUrl: null, until: null };
  const platformKey = token.kid === null ? undefined : platform.keys.get(token.kid);
  if (platformKey !== undefined) {
    const payload = await verified(token, platformKey);
    if (payload === null) throw unsigned();
    return { payload, signer: 'platform', ...rest };
  }
  for (const { key } of secretsOf(own, 'hs256', token.kid)) {
    const payload = await verified(token, key);
    if (payload !== null) return { payload, signer: 'tenant', ...rest };
  }
  throw unsigned();
}

async function proveByKeySet(
  token: Signed,
  algorithm: JwksAlgorithm,
  { own, jwks }: Proofs,
): Promise<Proven> {
  const urls = (own?.keys ?? [])
    .flatMap((key) => (key.kind === 'jwks' ? [key.url] : []))
    .slice(0, MAX_TRIED_KEYS);
  const wanted = { algorithm, kid: token.kid };
  const sets = await Promise.allSettled(urls.map((url) => jwks.find(url, wanted)));
  for (const [index, set] of sets.entries()) {
    if (set.status === 'rejected') continue;
    for (const key of set.value.keys.slice(0, MAX_TRIED_KEYS)) {
      const payload = await verified(token, key);
      if (payload === null) continue;
      return { payload, signer: 'tenant', keySetUrl: urls[index]!, until: set.value.until };
    }
  }
  const failed = sets.find((set) => set.status === 'rejected');
  if (failed !== undefined) throw refusal('the key set of its tenant cannot be used', failed.reason);
  throw unsigned();
}

async function decrypt(token: Encrypted, own: TenantState | null): Promise<Uint8Array> {
  for (const { key } of secretsOf(own, 'jwe', token.kid)) {
    if (key.symmetricKeySize !== 32) continue;
    try {
      const { plaintext } = await compactDecrypt(token.text, key, {
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: ['A256GCM'],
        maxDecompressedLength: 0,
      });
      return plaintext;
    } catch (error) {
      if (!(error instanceof errors.JWEDecryptionFailed)) throw refusal('it cannot be decrypted', error);
    }
  }
  throw refusal('no key of its tenant decrypts it');
}

/** The signed payload; null when this key did not sign it. */
async function verified(token: Signed, key: KeyObject | CryptoKey): Promise<Uint8Array | null> {
  try {
    return (await compactVerify(token.text, key, { algorithms: [token.algorithm] })).payload;
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed) return null;
    throw refusal('its signature cannot be verified', error);
  }
}

function secretsOf(
  own: TenantState | null,
  kind: 'hs256' | 'jwe',
  kid: string | null,
): readonly Extract<RingKey, { key: KeyObject }>[] {
  const all = (own?.keys ?? []).flatMap((key) => (key.kind !== 'jwks' && key.kind === kind ? [key] : []));
  return kid === null ? all.slice(0, MAX_TRIED_KEYS) : all.filter(({ id }) => id === kid);
}

function unsigned(): Error {
  return refusal('no key that counts here has signed it');
}
