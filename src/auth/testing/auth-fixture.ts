/** A verifier and an issuer over keys in memory, with a clock of its own. Only for tests. */
import { randomBytes } from 'node:crypto';
import { CompactEncrypt, type CryptoKey, type JWK, type JWTHeaderParameters, SignJWT } from 'jose';
import { expect } from 'vitest';
import { BerthError } from '../../contracts/errors.ts';
import { tenantIdSchema } from '../../contracts/ids.ts';
import type { PlatformKey, Tenant, TenantKey } from '../../contracts/model.ts';
import { cpuMsOf } from '../../kernel/testing/spent-cpu.ts';
import { JwksCache } from '../jwks/jwks-cache.ts';
import { KeyRing } from '../key-ring.ts';
import type { KeySource } from '../key-source.ts';
import { ensurePlatformKey, type PlatformKeyStore } from '../platform-keys.ts';
import { RevocationList } from '../revocation-list.ts';
import { createTokenIssuer } from '../token-issuer.ts';
import { createTokenVerifier } from '../token-verifier.ts';

export const acme = tenantIdSchema.parse('acme');
export const other = tenantIdSchema.parse('other');
/** 2026-01-01, in milliseconds and seconds. */
export const START_MS = 1_767_225_600_000;
export const START = START_MS / 1_000;

export class MemoryKeys implements KeySource, PlatformKeyStore {
  readonly platform: PlatformKey[] = [];
  readonly tenants = new Map<string, Pick<Tenant, 'tokensValidFrom' | 'createdAt'>>();
  readonly keys: TenantKey[] = [];
  loads = 0;

  async listPlatformKeys(): Promise<readonly PlatformKey[]> {
    return [...this.platform];
  }

  async addPlatformKey(key: PlatformKey): Promise<void> {
    this.platform.push(key);
  }

  async updatePlatformKey(id: string, change: Partial<PlatformKey>): Promise<void> {
    const index = this.platform.findIndex((key) => key.id === id);
    this.platform[index] = { ...this.platform[index]!, ...change };
  }

  async listTenantKeys(tenant: string): Promise<readonly TenantKey[]> {
    return this.keys.filter((key) => key.tenant === tenant);
  }

  async getTenant(id: string): Promise<Pick<Tenant, 'tokensValidFrom' | 'createdAt'> | null> {
    this.loads += 1;
    return this.tenants.get(id) ?? null;
  }
}

export type AuthFixture = Awaited<ReturnType<typeof authFixture>>;

/** Two tenants, `acme` and `other`, each with an HS256 and a JWE key; key sets by their URL in `keySets`. */
export async function authFixture(options: { maxCached?: number } = {}) {
  const clock = {
    time: START_MS,
    now(): number {
      return this.time;
    },
  };
  const keys = new MemoryKeys();
  for (const tenant of [acme, other]) {
    keys.tenants.set(tenant, { tokensValidFrom: 0, createdAt: START_MS - 1_000_000 });
    for (const kind of ['hs256', 'jwe'] as const)
      keys.keys.push({
        kind,
        id: `${tenant}-${kind}`,
        tenant,
        secret: randomBytes(32),
        createdAt: 1,
        revokedAt: null,
      });
  }
  const keySets = new Map<string, { keys: JWK[] }>();
  const fetched: string[] = [];
  const jwks = new JwksCache({
    clock,
    fetch: async (url) => {
      fetched.push(url);
      const set = keySets.get(url);
      if (set === undefined) throw new Error('nothing is there');
      return { json: set, freshMs: null };
    },
  });
  await ensurePlatformKey({ store: keys, clock });
  const ring = new KeyRing(keys);
  const revoked = new RevocationList({ clock });
  const verifier = createTokenVerifier({ ring, revoked, jwks, clock, ...options });
  return {
    clock,
    keys,
    keySets,
    fetched,
    ring,
    revoked,
    verifier,
    issuer: createTokenIssuer({ ring, clock }),
  };
}

/** The secret of a key that the fixture made. */
export function secretOf({ keys }: AuthFixture, id: string): Uint8Array {
  const key = [...keys.keys, ...keys.platform].find((one) => one.id === id);
  if (key === undefined || !('secret' in key)) throw new Error(`no key ${id}`);
  return key.secret;
}

/** Signed as a tenant's back end would: good for five minutes unless the claims say otherwise. */
export async function sign(
  key: Uint8Array | CryptoKey,
  claims: Record<string, unknown> = {},
  header: Partial<JWTHeaderParameters> = {},
): Promise<string> {
  const all = { iat: START, exp: START + 300, ...claims };
  const present = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  return new SignJWT(present).setProtectedHeader({ alg: 'HS256', ...header }).sign(key);
}

export async function encrypt(
  key: Uint8Array,
  plain: string,
  header: Record<string, unknown> = {},
): Promise<string> {
  return new CompactEncrypt(Buffer.from(plain))
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', ...header })
    .encrypt(key);
}

/** A token put together by hand, for what no library makes. */
export function forge(...parts: readonly unknown[]): string {
  return parts
    .map((part) =>
      typeof part === 'string' ? part : Buffer.from(JSON.stringify(part)).toString('base64url'),
    )
    .join('.');
}

export async function errorOf(promise: Promise<unknown>): Promise<BerthError> {
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof BerthError) return error;
  throw new Error('no BerthError was thrown', { cause: error });
}

/** What a refusal may cost at most, in milliseconds of CPU: no token makes the platform work for its sender. */
const REFUSAL_MS = 1_000;

/** Expects TOKEN_INVALID, with a reason that `says` something, and little work before it. */
export async function expectRefused(verify: () => Promise<unknown>, says: RegExp = /./): Promise<void> {
  const ms = await cpuMsOf(async () => {
    const error = await errorOf(verify());
    expect(error.code).toBe('TOKEN_INVALID');
    expect(error.message).toMatch(says);
  });
  expect(ms).toBeLessThan(REFUSAL_MS);
}
