/** A JSON Web Key Set (RFC 7517): which of its keys can have signed a token. Its content is a tenant's: bounded. */
import { type CryptoKey, importJWK, type JWK } from 'jose';
import { z } from 'zod';
import type { JwksAlgorithm } from '../token-text.ts';

export interface WantedKey {
  readonly algorithm: JwksAlgorithm;
  readonly kid: string | null;
}

const MAX_KEYS = 64;
/** Of one token: several keys fit when neither it nor they have a `kid`. */
const MAX_CANDIDATES = 8;
/** 8,192 bits: verifying takes longer the longer the modulus and the exponent are. */
const MAX_MODULUS_CHARACTERS = 1_366;
const MAX_EXPONENT_CHARACTERS = 6;
const text = z.string().max(2_048);

const keySchema = z.object({
  kty: text,
  kid: text.optional(),
  alg: text.optional(),
  use: text.optional(),
  crv: text.optional(),
  n: z.string().max(MAX_MODULUS_CHARACTERS).optional(),
  e: z.string().max(MAX_EXPONENT_CHARACTERS).optional(),
  x: text.optional(),
  y: text.optional(),
});
type Key = z.infer<typeof keySchema>;

const shapes: Readonly<Record<JwksAlgorithm, { readonly kty: string; readonly crv?: string }>> = {
  RS256: { kty: 'RSA' },
  PS256: { kty: 'RSA' },
  ES256: { kty: 'EC', crv: 'P-256' },
  ES384: { kty: 'EC', crv: 'P-384' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
};

export class KeySet {
  readonly #keys: readonly Key[];
  readonly #imported = new Map<string, Promise<CryptoKey | null>>();

  /** @throws Error when it is no key set. Keys of kinds that we do not know are left out. */
  constructor(json: unknown) {
    const { keys } = z.object({ keys: z.array(z.unknown()).max(MAX_KEYS) }).parse(json);
    this.#keys = keys.flatMap((key) => {
      const parsed = keySchema.safeParse(key);
      return parsed.success ? [parsed.data] : [];
    });
  }

  /** The public keys that can have signed such a token; several only when `kid` does not tell them apart. */
  async find(wanted: WantedKey): Promise<readonly CryptoKey[]> {
    const candidates = [...this.#keys.entries()]
      .filter(([, key]) => fits(key, wanted))
      .slice(0, MAX_CANDIDATES);
    const keys = await Promise.all(
      candidates.map(([index, key]) => this.#import(index, key, wanted.algorithm)),
    );
    return keys.filter((key) => key !== null);
  }

  #import(index: number, key: Key, algorithm: JwksAlgorithm): Promise<CryptoKey | null> {
    const name = `${index} ${algorithm}`;
    const known = this.#imported.get(name);
    if (known !== undefined) return known;
    const imported = importPublic(key, algorithm);
    this.#imported.set(name, imported);
    return imported;
  }
}

function fits(key: Key, { algorithm, kid }: WantedKey): boolean {
  const shape = shapes[algorithm];
  if (key.kty !== shape.kty || (shape.crv !== undefined && key.crv !== shape.crv)) return false;
  if (key.alg !== undefined && key.alg !== algorithm) return false;
  if (key.use !== undefined && key.use !== 'sig') return false;
  return kid === null || key.kid === undefined || key.kid === kid;
}

/** Only the public parts are taken, even where somebody published a private key. */
async function importPublic(
  { kty, crv, n, e, x, y }: Key,
  algorithm: JwksAlgorithm,
): Promise<CryptoKey | null> {
  const jwk = kty === 'RSA' ? { kty, n, e } : kty === 'EC' ? { kty, crv, x, y } : { kty, crv, x };
  try {
    const key = await importJWK(jwk as JWK, algorithm);
    return key instanceof Uint8Array ? null : key;
  } catch {
    return null; // a broken key signs nothing; the others of its set still count
  }
}
