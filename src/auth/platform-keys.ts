/** The platform's ring of signing keys: the first one, and rotation. */
import { randomBytes } from 'node:crypto';
import type { KeyId } from '../contracts/ids.ts';
import type { PlatformKey } from '../contracts/model.ts';
import type { Clock } from '../kernel/clock.ts';

/** Where platform keys are kept; the store fits. */
export interface PlatformKeyStore {
  listPlatformKeys(): Promise<readonly PlatformKey[]>;
  addPlatformKey(key: PlatformKey): Promise<void>;
  updatePlatformKey(id: KeyId, change: { readonly retiredAt: number }): Promise<void>;
}

export interface PlatformKeyOptions {
  readonly store: PlatformKeyStore;
  readonly clock: Pick<Clock, 'now'>;
  readonly random?: (size: number) => Uint8Array;
}

const SECRET_BYTES = 32;
const ID_BYTES = 9;

/** The newest that is neither retired nor revoked. */
export function signingKey(keys: readonly PlatformKey[]): PlatformKey | null {
  const usable = keys.filter(({ retiredAt, revokedAt }) => retiredAt === null && revokedAt === null);
  return usable.toSorted((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1))[0] ?? null;
}

/** Makes the first key when there is none that signs. May be repeated. @returns the id of the key that signs */
export async function ensurePlatformKey(options: PlatformKeyOptions): Promise<KeyId> {
  const signing = signingKey(await options.store.listPlatformKeys());
  return signing?.id ?? addKey(options);
}

/** A new key signs from now on; the old ones go on verifying until they are revoked. @returns the new key's id */
export async function rotatePlatformKey(options: PlatformKeyOptions): Promise<KeyId> {
  const old = (await options.store.listPlatformKeys()).filter(({ retiredAt }) => retiredAt === null);
  const id = await addKey(options);
  // The new one first: killed in between, there are two that may sign, never none.
  const retiredAt = options.clock.now();
  for (const key of old) await options.store.updatePlatformKey(key.id, { retiredAt });
  return id;
}

async function addKey({ store, clock, random = randomBytes }: PlatformKeyOptions): Promise<KeyId> {
  const id = `k${Buffer.from(random(ID_BYTES)).toString('hex')}`;
  const secret = random(SECRET_BYTES);
  await store.addPlatformKey({ id, secret, createdAt: clock.now(), retiredAt: null, revokedAt: null });
  return id;
}
