import type { Selectable, Transaction, Updateable } from 'kysely';
import { BerthError } from '../../contracts/errors.ts';
import type { FunctionRecord } from '../../contracts/model.ts';
import type { FunctionSettings, FunctionStore } from '../store.ts';
import { hashesOf } from './code.ts';
import { rowsOf, type StoreContext } from './context.ts';
import { collectInSteps } from './deletion.ts';
import { deploy } from './deploy.ts';
import { findFunction, functionOf, noFunction } from './function-rows.ts';
import { findRevision, revisionStore } from './revisions.ts';
import type { FunctionsTable, Schema } from './schema.ts';
import {
  type FunctionKey,
  readSecrets,
  readVersionedSecrets,
  replaceSecrets,
  sealSecrets,
  sealSettings,
  settingsChange,
} from './settings.ts';

/** Rows that `eachFunction` reads at a time. */
const SCAN_ROWS = 500;

export function functionStore(context: StoreContext): FunctionStore {
  const { db, sealer } = context;
  return {
    ...revisionStore(context),
    deploy: (request) => deploy(context, request),
    async getFunction(tenant, fn) {
      const row = await findFunction(db, { tenant, fn });
      return row === undefined ? null : functionOf(sealer, row);
    },
    async listFunctions(tenant, page) {
      const query = db
        .selectFrom('functions')
        .selectAll()
        .where('tenant', '=', tenant)
        .orderBy('name')
        .limit(rowsOf(page));
      const rows = await (page.after === undefined ? query : query.where('name', '>', page.after)).execute();
      return Promise.all(rows.map((row) => functionOf(sealer, row)));
    },
    eachFunction: () => eachFunction(context),
    updateFunction: (tenant, fn, settings) => updateFunction(context, { tenant, fn }, settings),
    activate: (tenant, fn, id) => activate(context, { tenant, fn, id }),
    deleteFunction: (tenant, fn) => deleteFunction(context, { tenant, fn }),
    getSecrets: (tenant, fn) => readSecrets(db, sealer, { tenant, fn }),
    getVersionedSecrets: (tenant, fn) => readVersionedSecrets(db, sealer, { tenant, fn }),
    setSecret: (tenant, fn, secret) => setSecret(context, { tenant, fn }, secret),
  };
}

/** By the primary key in steps, so that no statement stays open while the caller works. */
async function* eachFunction({ db, sealer }: StoreContext): AsyncGenerator<FunctionRecord> {
  let last = { tenant: '', name: '' };
  for (;;) {
    const { tenant, name } = last;
    const rows = await db
      .selectFrom('functions')
      .selectAll()
      .where(({ and, or, eb }) =>
        or([eb('tenant', '>', tenant), and([eb('tenant', '=', tenant), eb('name', '>', name)])]),
      )
      .orderBy('tenant')
      .orderBy('name')
      .limit(SCAN_ROWS)
      .execute();
    for (const fn of await Promise.all(rows.map((row) => functionOf(sealer, row)))) yield fn;
    if (rows.length < SCAN_ROWS) return;
    last = rows.at(-1)!;
  }
}

async function updateFunction(
  context: StoreContext,
  key: FunctionKey,
  settings: FunctionSettings,
): Promise<FunctionRecord> {
  const { sealer } = context;
  const sealed = await sealSettings(sealer, key, settings);
  const row = await context.writer.write(async (transaction, changed) => {
    const current = await mustFind(transaction, key);
    const change = await settingsChange(transaction, { sealer, key, row: current, settings: sealed });
    if (!change.isChange) return current;
    if (change.secrets !== null) await replaceSecrets(transaction, key, change.secrets);
    changed({ kind: 'function', ...key });
    return touch(transaction, { context, current, columns: change.columns });
  });
  return functionOf(sealer, row);
}

async function activate(
  context: StoreContext,
  key: FunctionKey & { readonly id: NonNullable<FunctionRecord['activeRevision']> },
): Promise<FunctionRecord> {
  const row = await context.writer.write(async (transaction, changed) => {
    const current = await mustFind(transaction, key);
    const revision = await findRevision(transaction, key);
    if (revision === undefined) {
      throw new BerthError('NOT_FOUND', { what: `revision "${key.id}" of function "${key.fn}"` });
    }
    if (current.active_revision === key.id) return current;
    changed({ kind: 'function', tenant: key.tenant, fn: key.fn });
    return touch(transaction, {
      context,
      current,
      columns: { active_revision: key.id, node_range: revision.node_range },
    });
  });
  return functionOf(context.sealer, row);
}

async function deleteFunction(context: StoreContext, key: FunctionKey): Promise<boolean> {
  const unused = await context.writer.write(async (transaction, changed) => {
    if ((await findFunction(transaction, key)) === undefined) return null;
    const hashes = await hashesOf(transaction, key);
    await transaction
      .deleteFrom('functions')
      .where('tenant', '=', key.tenant)
      .where('name', '=', key.fn)
      .execute();
    await transaction
      .updateTable('tenants')
      .set(({ eb }) => ({ function_count: eb('function_count', '-', 1) }))
      .where('id', '=', key.tenant)
      .execute();
    changed({ kind: 'function', ...key });
    return hashes;
  });
  if (unused === null) return false;
  await collectInSteps(context, key.tenant, unused);
  return true;
}

async function setSecret(
  context: StoreContext,
  key: FunctionKey,
  secret: { readonly name: string; readonly value: string | null; readonly max: number },
): Promise<FunctionRecord> {
  const { sealer } = context;
  const { name, value } = secret;
  const sealed = value === null ? [] : await sealSecrets(sealer, key, { [name]: value });
  const row = await context.writer.write(async (transaction, changed) => {
    const current = await mustFind(transaction, key);
    const secrets = await readSecrets(transaction, sealer, key);
    const old = Object.hasOwn(secrets, name) ? secrets[name]! : null;
    if (old === value) return current;
    if (old === null && Object.keys(secrets).length >= secret.max) {
      throw new BerthError('LIMIT_REACHED', { name: 'secrets', limit: secret.max });
    }
    await transaction
      .deleteFrom('secrets')
      .where('tenant', '=', key.tenant)
      .where('fn', '=', key.fn)
      .where('name', '=', name)
      .execute();
    for (const added of sealed) await transaction.insertInto('secrets').values(added).execute();
    changed({ kind: 'function', ...key });
    return touch(transaction, { context, current, columns: {} });
  });
  return functionOf(sealer, row);
}

async function mustFind(
  transaction: Transaction<Schema>,
  key: FunctionKey,
): Promise<Selectable<FunctionsTable>> {
  const row = await findFunction(transaction, key);
  if (row === undefined) throw noFunction(key);
  return row;
}

/** Writes `columns` and raises the version, so that sandboxes of the older one are replaced. */
async function touch(
  transaction: Transaction<Schema>,
  options: {
    readonly context: StoreContext;
    readonly current: Selectable<FunctionsTable>;
    readonly columns: Updateable<FunctionsTable>;
  },
): Promise<Selectable<FunctionsTable>> {
  const { context, current, columns } = options;
  return transaction
    .updateTable('functions')
    .set({ ...columns, version: current.version + 1, updated_at: context.clock.now() })
    .where('tenant', '=', current.tenant)
    .where('name', '=', current.name)
    .returningAll()
    .executeTakeFirstOrThrow();
}
