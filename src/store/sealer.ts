/**
 * Seals what is secret as JWE (RFC 7516, `dir` with A256GCM) under the master key. The header, which the encryption
 * authenticates, names the place the value belongs to: a row copied to another tenant or name does not open there.
 */
import { createSecretKey, type KeyObject } from 'node:crypto';
import { CompactEncrypt, compactDecrypt } from 'jose';
import type { MasterKey } from './master-key.ts';

/** What a sealed value belongs to: its kind, then the key of its row. */
export type SealPlace = readonly [
  kind: 'check' | 'secret' | 'webtask' | 'tenant-key' | 'platform-key' | 'service',
  ...key: string[],
];

export class SealBrokenError extends Error {
  override readonly name = 'SealBrokenError';
}

export class Sealer {
  readonly #key: KeyObject;

  constructor(masterKey: MasterKey) {
    this.#key = createSecretKey(masterKey.reveal());
  }

  async seal(place: SealPlace, plain: Uint8Array): Promise<string> {
    return new CompactEncrypt(plain)
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', for: JSON.stringify(place) })
      .encrypt(this.#key);
  }

  async sealText(place: SealPlace, plain: string): Promise<string> {
    return this.seal(place, new TextEncoder().encode(plain));
  }

  /** @throws SealBrokenError when it was sealed with another key, for another place, or was changed */
  async open(place: SealPlace, sealed: string): Promise<Uint8Array> {
    const { plaintext, protectedHeader } = await compactDecrypt(sealed, this.#key, {
      keyManagementAlgorithms: ['dir'],
      contentEncryptionAlgorithms: ['A256GCM'],
    }).catch((error: unknown) => {
      throw new SealBrokenError(`the sealed ${place[0]} does not open`, { cause: error });
    });
    if (protectedHeader['for'] !== JSON.stringify(place)) {
      throw new SealBrokenError(`the sealed ${place[0]} belongs to another place`);
    }
    return plaintext;
  }

  async openText(place: SealPlace, sealed: string): Promise<string> {
    return new TextDecoder().decode(await this.open(place, sealed));
  }
}
