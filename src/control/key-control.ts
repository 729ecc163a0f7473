/** Keys of tenants' own back ends, and the platform's signing key. */
import { refuseJwksUrl } from '../auth/jwks/jwks-fetch.ts';
import { rotatePlatformKey, signingKey } from '../auth/platform-keys.ts';
import { BerthError } from '../contracts/errors.ts';
import type { KeyId, TenantId } from '../contracts/ids.ts';
import type { TenantKey } from '../contracts/model.ts';
import type { Control, TenantKeyView } from './control.ts';
import { type ControlDeps, what } from './control-deps.ts';
import { limitsOf } from './function-control.ts';
import { tenantOf } from './tenant-control.ts';

type NewKey = Parameters<Control['addKey']>[1];

const KEY_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const BASE64URL = /^[A-Za-z0-9_-]+$/;
const SECRET_BYTES = 32;
const MAX_SECRET_BYTES = 1024;
const MAX_URL_CHARACTERS = 2048;
/** Revoked keys stay listed, so that a key id is never used twice; this many times the limit `keys`. */
const KEPT_KEYS_FACTOR = 64;

export function createKeyControl(
  deps: ControlDeps,
): Pick<Control, 'listKeys' | 'addKey' | 'revokeKey' | 'rotatePlatformKey' | 'revokePlatformKey'> {
  return {
    async listKeys(tenant) {
      await tenantOf(deps, tenant);
      return (await deps.store.listTenantKeys(tenant)).map(viewOf);
    },
    addKey: (tenant, key) => add(deps, tenant, key),
    async revokeKey(tenant, id) {
      if (!(await deps.store.revokeTenantKey(tenant, id, deps.clock.now()))) {
        throw new BerthError('NOT_FOUND', { what: what.key(id) });
      }
    },
    async rotatePlatformKey() {
      const { store, clock, random } = deps;
      return { id: await rotatePlatformKey({ store, clock, random }) };
    },
    revokePlatformKey: (id) => revokePlatform(deps, id),
  };
}

/** A key that does not sign never signs again, so nothing can come between the look and the change. */
async function revokePlatform({ store, clock }: ControlDeps, id: KeyId): Promise<void> {
  const keys = await store.listPlatformKeys();
  const key = keys.find((one) => one.id === id);
  if (key === undefined) throw new BerthError('NOT_FOUND', { what: what.platformKey(id) });
  if (key.revokedAt !== null) return;
  if (signingKey(keys)?.id === id) throw new BerthError('KEY_IN_USE', { id });
  await store.updatePlatformKey(id, { revokedAt: clock.now() });
}

async function add(
  deps: ControlDeps,
  tenant: TenantId,
  request: NewKey,
): Promise<TenantKeyView & { readonly secret?: string }> {
  const limits = await limitsOf(deps, tenant);
  const id = request.id ?? newKeyId(deps);
  if (!KEY_ID.test(id)) {
    throw new BerthError('NAME_INVALID', { reason: 'a key id is 1-64 of A-Z a-z 0-9 . _ -' });
  }
  const most = { live: limits.keys, kept: limits.keys * KEPT_KEYS_FACTOR };
  const common = { id, tenant, createdAt: deps.clock.now(), revokedAt: null };
  if (request.kind === 'jwks') {
    const key = { ...common, kind: request.kind, url: jwksUrl(deps, request.url) };
    await deps.store.addTenantKey(key, most);
    return viewOf(key);
  }
  const secret =
    request.secret === undefined ? deps.random(SECRET_BYTES) : secretOf(request.kind, request.secret);
  const key = { ...common, kind: request.kind, secret };
  await deps.store.addTenantKey(key, most);
  if (request.secret !== undefined) return viewOf(key);
  return { ...viewOf(key), secret: Buffer.from(secret).toString('base64url') };
}

function secretOf(kind: 'hs256' | 'jwe', text: string): Uint8Array {
  const secret = Buffer.from(text, 'base64url');
  const isRightLength =
    kind === 'jwe'
      ? secret.byteLength === SECRET_BYTES
      : secret.byteLength >= SECRET_BYTES && secret.byteLength <= MAX_SECRET_BYTES;
  if (BASE64URL.test(text) && isRightLength) return secret;
  const size = kind === 'jwe' ? `exactly ${SECRET_BYTES}` : `${SECRET_BYTES}-${MAX_SECRET_BYTES}`;
  throw new BerthError('BAD_REQUEST', {
    reason: `the secret of a key of kind ${kind} is ${size} bytes as base64url`,
  });
}

function jwksUrl(deps: ControlDeps, text: string): string {
  const url = text.length > MAX_URL_CHARACTERS ? null : URL.parse(text);
  if (url === null) throw new BerthError('BAD_REQUEST', { reason: 'the url of a key set is not a URL' });
  const refused = (deps.refuseJwksUrl ?? refuseJwksUrl)(url);
  if (refused !== null) throw new BerthError('BAD_REQUEST', { reason: refused });
  if (url.username !== '' || url.password !== '') {
    throw new BerthError('BAD_REQUEST', { reason: 'the url of a key set holds no user or password' });
  }
  return url.href;
}

function viewOf(key: TenantKey): TenantKeyView {
  const { id, kind, createdAt, revokedAt } = key;
  return { id, kind, createdAt, revokedAt, ...(key.kind === 'jwks' ? { url: key.url } : {}) };
}

function newKeyId({ random }: Pick<ControlDeps, 'random'>): KeyId {
  return `k${Buffer.from(random(9)).toString('hex')}`;
}
