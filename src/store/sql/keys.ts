import type { Selectable, Transaction } from 'kysely';
import { BerthError } from '../../contracts/errors.ts';
import type { KeyId, TenantId } from '../../contracts/ids.ts';
import type { PlatformKey, TenantKey } from '../../contracts/model.ts';
import type { Sealer } from '../sealer.ts';
import type { KeyStore } from '../store.ts';
import { type StoreContext, timeOf } from './context.ts';
import { liveTenant } from './live-tenant.ts';
import type { PlatformKeysTable, Schema, TenantKeysTable } from './schema.ts';
import { noTenant } from './tenants.ts';

/** A revocation outlives its token by this, for clocks that are not quite right. */
const KEEP_EXPIRED_MS = 60_000;

export function keyStore(context: StoreContext): KeyStore {
  const { db, sealer } = context;
  return {
    addTenantKey: (key, most) => addTenantKey(context, key, most),
    async listTenantKeys(tenant) {
      const rows = await db
        .selectFrom('tenant_keys')
        .selectAll()
        .where('tenant', '=', tenant)
        .orderBy('created_at')
        .orderBy('id')
        .execute();
      return Promise.all(rows.map((row) => tenantKeyOf(sealer, row)));
    },
    revokeTenantKey: (tenant, id, at) => revokeTenantKey(context, { tenant, id, at }),
    addPlatformKey: (key) => addPlatformKey(context, key),
    async listPlatformKeys() {
      const rows = await db
        .selectFrom('platform_keys')
        .selectAll()
        .orderBy('created_at')
        .orderBy('id')
        .execute();
      return Promise.all(rows.map((row) => platformKeyOf(sealer, row)));
    },
    updatePlatformKey: (id, change) => updatePlatformKey(context, id, change),
    revokeToken: (jti, expiresAt, among) => revokeToken(context, { jti, expiresAt, among }),
    async listRevokedTokens(now) {
      const rows = await db
        .selectFrom('revoked_tokens')
        .selectAll()
        .where(({ or, eb }) => or([eb('expires_at', 'is', null), eb('expires_at', '>', now)]))
        .execute();
      return rows.map((row) => ({ jti: row.jti, expiresAt: timeOf(row.expires_at) }));
    },
  };
}

async function addTenantKey(
  { writer, sealer }: StoreContext,
  key: TenantKey,
  most: Parameters<KeyStore['addTenantKey']>[1],
): Promise<void> {
  const row: TenantKeysTable = {
    tenant: key.tenant,
    id: key.id,
    kind: key.kind,
    sealed: key.kind === 'jwks' ? null : await sealer.seal(['tenant-key', key.tenant, key.id], key.secret),
    url: key.kind === 'jwks' ? key.url : null,
    created_at: key.createdAt,
    revoked_at: key.revokedAt,
  };
  await writer.write(async (transaction, changed) => {
    if ((await liveTenant(transaction, key.tenant)) === undefined) throw noTenant(key.tenant);
    const { numInsertedOrUpdatedRows } = await transaction
      .insertInto('tenant_keys')
      .values(row)
      .onConflict((conflict) => conflict.columns(['tenant', 'id']).doNothing())
      .executeTakeFirst();
    if (Number(numInsertedOrUpdatedRows) === 0) {
      throw new BerthError('CONFLICT', { what: `The key "${key.id}"` });
    }
    if (most !== undefined) await checkKeys(transaction, key.tenant, most);
    changed({ kind: 'keys', tenant: key.tenant });
  });
}

/** After the insert, which is undone with its transaction: several added at the same time are counted all. */
async function checkKeys(
  transaction: Transaction<Schema>,
  tenant: TenantId,
  most: NonNullable<Parameters<KeyStore['addTenantKey']>[1]>,
): Promise<void> {
  const rows = await transaction
    .selectFrom('tenant_keys')
    .select('revoked_at')
    .where('tenant', '=', tenant)
    .execute();
  const live = rows.filter((row) => row.revoked_at === null).length;
  if (live > most.live || rows.length > most.kept)
    throw new BerthError('LIMIT_REACHED', { name: 'keys', limit: most.live });
}

async function revokeTenantKey(
  { writer }: StoreContext,
  key: { readonly tenant: TenantId; readonly id: KeyId; readonly at: number },
): Promise<boolean> {
  return writer.write(async (transaction, changed) => {
    const found = await transaction
      .selectFrom('tenant_keys')
      .select('revoked_at')
      .where('tenant', '=', key.tenant)
      .where('id', '=', key.id)
      .executeTakeFirst();
    if (found === undefined) return false;
    if (found.revoked_at !== null) return true;
    await transaction
      .updateTable('tenant_keys')
      .set({ revoked_at: key.at })
      .where('tenant', '=', key.tenant)
      .where('id', '=', key.id)
      .execute();
    changed({ kind: 'keys', tenant: key.tenant });
    return true;
  });
}

async function addPlatformKey({ writer, sealer }: StoreContext, key: PlatformKey): Promise<void> {
  const row: PlatformKeysTable = {
    id: key.id,
    sealed: await sealer.seal(['platform-key', key.id], key.secret),
    created_at: key.createdAt,
    retired_at: key.retiredAt,
    revoked_at: key.revokedAt,
  };
  await writer.write(async (transaction, changed) => {
    const { numInsertedOrUpdatedRows } = await transaction
      .insertInto('platform_keys')
      .values(row)
      .onConflict((conflict) => conflict.column('id').doNothing())
      .executeTakeFirst();
    if (Number(numInsertedOrUpdatedRows) === 0) {
      throw new BerthError('CONFLICT', { what: `The platform key "${key.id}"` });
    }
    changed({ kind: 'keys', tenant: null });
  });
}

async function updatePlatformKey(
  { writer }: StoreContext,
  id: KeyId,
  change: Partial<Pick<PlatformKey, 'retiredAt' | 'revokedAt'>>,
): Promise<void> {
  const { retiredAt, revokedAt } = change;
  if (retiredAt === undefined && revokedAt === undefined) return;
  await writer.write(async (transaction, changed) => {
    const { numUpdatedRows } = await transaction
      .updateTable('platform_keys')
      .set({
        ...(retiredAt === undefined ? {} : { retired_at: retiredAt }),
        ...(revokedAt === undefined ? {} : { revoked_at: revokedAt }),
      })
      .where('id', '=', id)
      .executeTakeFirst();
    if (Number(numUpdatedRows) === 0) throw new BerthError('NOT_FOUND', { what: `platform key "${id}"` });
    changed({ kind: 'keys', tenant: null });
  });
}

interface Revocation {
  readonly jti: string;
  readonly expiresAt: number | null;
  readonly among: Parameters<KeyStore['revokeToken']>[2];
}

async function revokeToken(
  { writer, clock }: StoreContext,
  { jti, expiresAt, among }: Revocation,
): Promise<void> {
  await writer.write(async (transaction, changed) => {
    await transaction
      .deleteFrom('revoked_tokens')
      .where('expires_at', '<', clock.now() - KEEP_EXPIRED_MS)
      .execute();
    const { numInsertedOrUpdatedRows } = await transaction
      .insertInto('revoked_tokens')
      .values({ jti, expires_at: expiresAt })
      .onConflict((conflict) => conflict.column('jti').doNothing())
      .executeTakeFirst();
    if (Number(numInsertedOrUpdatedRows) === 0) return;
    if (among !== undefined) await checkRoom(transaction, among);
    changed({ kind: 'token-revoked', jti, expiresAt });
  });
}

/** After the insert, which is undone with its transaction: so what is there already may be revoked again. */
async function checkRoom(
  transaction: Transaction<Schema>,
  { prefix, max }: NonNullable<Revocation['among']>,
): Promise<void> {
  const { count } = await transaction
    .selectFrom('revoked_tokens')
    .select(({ fn }) => fn.countAll().as('count'))
    .where('jti', '>=', prefix)
    // "0" is the character after "/": all ids with the prefix, by the index.
    .where('jti', '<', `${prefix.slice(0, -1)}0`)
    .executeTakeFirstOrThrow();
  if (Number(count) > max) throw new BerthError('LIMIT_REACHED', { name: 'revokedTokens', limit: max });
}

async function tenantKeyOf(sealer: Sealer, row: Selectable<TenantKeysTable>): Promise<TenantKey> {
  const common = {
    id: row.id,
    tenant: row.tenant as TenantId,
    createdAt: Number(row.created_at),
    revokedAt: timeOf(row.revoked_at),
  };
  if (row.kind === 'jwks') return { kind: 'jwks', url: row.url ?? '', ...common };
  const secret = await sealer.open(['tenant-key', row.tenant, row.id], row.sealed ?? '');
  return { kind: row.kind === 'jwe' ? 'jwe' : 'hs256', secret, ...common };
}

async function platformKeyOf(sealer: Sealer, row: Selectable<PlatformKeysTable>): Promise<PlatformKey> {
  return {
    id: row.id,
    secret: await sealer.open(['platform-key', row.id], row.sealed),
    createdAt: Number(row.created_at),
    retiredAt: timeOf(row.retired_at),
    revokedAt: timeOf(row.revoked_at),
  };
}
