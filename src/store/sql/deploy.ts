/** A deploy: function, revision, code, settings and activation in one transaction. */
import type { Selectable, Transaction } from 'kysely';
import { BerthError } from '../../contracts/errors.ts';
import type { FunctionRecord, Revision } from '../../contracts/model.ts';
import type { FunctionStore } from '../store.ts';
import { codeBlobs, type CodeBlobs, replaceBytecode } from './code.ts';
import type { StoreContext } from './context.ts';
import { collectInSteps } from './deletion.ts';
import { findFunction, functionOf } from './function-rows.ts';
import { liveTenant } from './live-tenant.ts';
import { findRevision, insertRevision, pruneRevisions, revisionOf } from './revisions.ts';
import type { FunctionsTable, RevisionsTable, Schema } from './schema.ts';
import { type FunctionKey, replaceSecrets, sealSettings, settingsChange } from './settings.ts';
import { noTenant } from './tenants.ts';

type DeployRequest = Parameters<FunctionStore['deploy']>[0];

export async function deploy(
  context: StoreContext,
  request: DeployRequest,
): Promise<{ fn: FunctionRecord; revision: Revision }> {
  const key: FunctionKey = { tenant: request.revision.tenant, fn: request.revision.fn };
  const settings = await sealSettings(context.sealer, key, request.settings);
  const blobs = codeBlobs(request.prepared, request.bytecode);
  const rows = await context.writer.write(async (transaction, changed) => {
    const found = await findFunction(transaction, key);
    const row = found ?? (await insertFunction(transaction, { context, key, request }));
    const { revision, replaced } = await takeRevision(transaction, { context, request, row, blobs });
    const change = await settingsChange(transaction, { sealer: context.sealer, key, row, settings });
    if (found !== undefined && !change.isChange && row.active_revision === revision.id) {
      return { fn: row, revision, unused: replaced };
    }
    const fn = await transaction
      .updateTable('functions')
      .set({
        ...change.columns,
        active_revision: revision.id,
        node_range: revision.node_range,
        last_number: Math.max(row.last_number, revision.number),
        version: row.version + 1,
        updated_at: context.clock.now(),
      })
      .where('tenant', '=', key.tenant)
      .where('name', '=', key.fn)
      .returningAll()
      .executeTakeFirstOrThrow();
    if (change.secrets !== null) await replaceSecrets(transaction, key, change.secrets);
    const { keepRevisions: keep } = request;
    const unused = await pruneRevisions(transaction, { ...key, active: request.revision.id, keep });
    changed({ kind: 'function', tenant: key.tenant, fn: key.fn });
    return { fn, revision, unused: [...unused, ...replaced] };
  });
  await collectInSteps(context, key.tenant, rows.unused);
  return { fn: await functionOf(context.sealer, rows.fn), revision: revisionOf(rows.revision) };
}

async function insertFunction(
  transaction: Transaction<Schema>,
  options: { readonly context: StoreContext; readonly key: FunctionKey; readonly request: DeployRequest },
): Promise<Selectable<FunctionsTable>> {
  const { context, key, request } = options;
  const tenant = await liveTenant(transaction, key.tenant);
  if (tenant === undefined) throw noTenant(key.tenant);
  if (tenant.function_count >= request.maxFunctions) {
    throw new BerthError('LIMIT_REACHED', { name: 'functions', limit: request.maxFunctions });
  }
  await transaction
    .updateTable('tenants')
    .set({ function_count: tenant.function_count + 1 })
    .where('id', '=', key.tenant)
    .execute();
  const now = context.clock.now();
  const row: FunctionsTable = {
    tenant: key.tenant,
    name: key.fn,
    access: 'public',
    active_revision: null,
    node_range: null,
    env: '{}',
    meta: '{}',
    webtask: null,
    version: 0,
    last_number: 0,
    created_at: now,
    updated_at: now,
  };
  await transaction.insertInto('functions').values(row).execute();
  return row;
}

/** The revision when it was deployed before, with its number; a new one otherwise. `replaced`: hashes that may be unused now. */
async function takeRevision(
  transaction: Transaction<Schema>,
  options: {
    readonly context: StoreContext;
    readonly request: DeployRequest;
    readonly row: Selectable<FunctionsTable>;
    readonly blobs: CodeBlobs;
  },
): Promise<{ readonly revision: Selectable<RevisionsTable>; readonly replaced: readonly string[] }> {
  const { context, request, row, blobs } = options;
  const known = await findRevision(transaction, request.revision);
  if (known !== undefined) {
    const { tenant, fn, id } = request.revision;
    return {
      revision: known,
      replaced: await replaceBytecode(transaction, { tenant, fn, revision: id }, blobs),
    };
  }
  const revision: Revision = {
    ...request.revision,
    number: row.last_number + 1,
    createdAt: context.clock.now(),
  };
  return { revision: await insertRevision(transaction, revision, blobs), replaced: [] };
}
