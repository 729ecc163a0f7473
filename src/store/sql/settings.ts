/** Settings of a function: sealed before the transaction, compared and written inside it. */
import type { Selectable, Transaction, Updateable } from 'kysely';
import type { FunctionName, TenantId } from '../../contracts/ids.ts';
import type { WebtaskRecord } from '../../contracts/model.ts';
import type { Sealer } from '../sealer.ts';
import type { FunctionSettings, VersionedSecrets } from '../store.ts';
import { textOf } from './context.ts';
import type { FunctionsTable, Schema, SecretsTable } from './schema.ts';

export interface FunctionKey {
  readonly tenant: TenantId;
  readonly fn: FunctionName;
}

/** Settings with their secret parts sealed; what is absent stays as it is. */
export interface SealedSettings {
  readonly plain: FunctionSettings;
  readonly webtask?: string | null;
  readonly secrets?: readonly SecretsTable[];
}

export interface SettingsChange {
  readonly columns: Updateable<FunctionsTable>;
  /** The rows that replace the function's secrets; null: they stay. */
  readonly secrets: readonly SecretsTable[] | null;
  readonly isChange: boolean;
}

export async function sealSettings(
  sealer: Sealer,
  key: FunctionKey,
  settings: FunctionSettings,
): Promise<SealedSettings> {
  const { webtask, secrets } = settings;
  return {
    plain: settings,
    ...(webtask === undefined
      ? {}
      : {
          webtask: webtask === null ? null : await sealer.sealText(webtaskPlace(key), webtaskText(webtask)),
        }),
    ...(secrets === undefined ? {} : { secrets: await sealSecrets(sealer, key, secrets) }),
  };
}

/** Which of `settings` differ from what `row` (null: a new function) and the table of secrets say. */
export async function settingsChange(
  transaction: Transaction<Schema>,
  options: {
    readonly sealer: Sealer;
    readonly key: FunctionKey;
    readonly row: Selectable<FunctionsTable>;
    readonly settings: SealedSettings;
  },
): Promise<SettingsChange> {
  const { sealer, key, row, settings } = options;
  const { access, env, meta } = settings.plain;
  const columns: Updateable<FunctionsTable> = {};
  if (access !== undefined && access !== row.access) columns.access = access;
  if (env !== undefined && textOf(env) !== row.env) columns.env = textOf(env);
  if (meta !== undefined && textOf(meta) !== row.meta) columns.meta = textOf(meta);
  if (settings.webtask !== undefined && !(await isSameWebtask(sealer, key, row.webtask, settings))) {
    columns.webtask = settings.webtask;
  }
  const isSame =
    settings.secrets === undefined ||
    isSamePairs(await readSecrets(transaction, sealer, key), settings.plain.secrets ?? {});
  const secrets = isSame ? null : (settings.secrets ?? null);
  return { columns, secrets, isChange: secrets !== null || Object.keys(columns).length > 0 };
}

export async function replaceSecrets(
  transaction: Transaction<Schema>,
  key: FunctionKey,
  secrets: readonly SecretsTable[],
): Promise<void> {
  await transaction.deleteFrom('secrets').where('tenant', '=', key.tenant).where('fn', '=', key.fn).execute();
  for (const secret of secrets) await transaction.insertInto('secrets').values(secret).execute();
}

export async function readSecrets(
  db: Pick<Transaction<Schema>, 'selectFrom'>,
  sealer: Sealer,
  key: FunctionKey,
): Promise<Readonly<Record<string, string>>> {
  const rows = await db
    .selectFrom('secrets')
    .selectAll()
    .where('tenant', '=', key.tenant)
    .where('fn', '=', key.fn)
    .orderBy('name')
    .execute();
  return openSecrets(sealer, key, rows);
}

/** In one statement, so that no change comes between version and secrets. */
export async function readVersionedSecrets(
  db: Pick<Transaction<Schema>, 'selectFrom'>,
  sealer: Sealer,
  key: FunctionKey,
): Promise<VersionedSecrets | null> {
  const rows = await db
    .selectFrom('functions')
    .leftJoin('secrets', (join) =>
      join.onRef('secrets.tenant', '=', 'functions.tenant').onRef('secrets.fn', '=', 'functions.name'),
    )
    .select(['functions.version', 'functions.created_at', 'secrets.name', 'secrets.sealed'])
    .where('functions.tenant', '=', key.tenant)
    .where('functions.name', '=', key.fn)
    .orderBy('secrets.name')
    .execute();
  const [first] = rows;
  if (first === undefined) return null;
  const sealed = rows.flatMap((row) =>
    row.name === null || row.sealed === null ? [] : [{ name: row.name, sealed: row.sealed }],
  );
  return {
    version: Number(first.version),
    createdAt: Number(first.created_at),
    secrets: await openSecrets(sealer, key, sealed),
  };
}

async function openSecrets(
  sealer: Sealer,
  key: FunctionKey,
  rows: readonly Pick<SecretsTable, 'name' | 'sealed'>[],
): Promise<Readonly<Record<string, string>>> {
  const opened = rows.map(async ({ name, sealed }): Promise<[string, string]> => [
    name,
    await sealer.openText(secretPlace(key, name), sealed),
  ]);
  return Object.fromEntries(await Promise.all(opened));
}

export async function sealSecrets(
  sealer: Sealer,
  key: FunctionKey,
  secrets: Readonly<Record<string, string>>,
): Promise<readonly SecretsTable[]> {
  const sealed = Object.entries(secrets).map(async ([name, value]) => ({
    ...key,
    name,
    sealed: await sealer.sealText(secretPlace(key, name), value),
  }));
  return Promise.all(sealed);
}

export async function openWebtask(
  sealer: Sealer,
  key: FunctionKey,
  sealed: string | null,
): Promise<WebtaskRecord | null> {
  if (sealed === null) return null;
  return JSON.parse(await sealer.openText(webtaskPlace(key), sealed)) as WebtaskRecord;
}

function secretPlace({ tenant, fn }: FunctionKey, name: string): ['secret', ...string[]] {
  return ['secret', tenant, fn, name];
}

function webtaskPlace({ tenant, fn }: FunctionKey): ['webtask', ...string[]] {
  return ['webtask', tenant, fn];
}

async function isSameWebtask(
  sealer: Sealer,
  key: FunctionKey,
  stored: string | null,
  { plain }: SealedSettings,
): Promise<boolean> {
  const wanted = plain.webtask ?? null;
  if (stored === null || wanted === null) return stored === wanted;
  const current = await openWebtask(sealer, key, stored);
  return current !== null && webtaskText(current) === webtaskText(wanted);
}

function webtaskText(record: WebtaskRecord): string {
  return textOf({ ...record, params: JSON.parse(textOf(record.params)) as unknown });
}

function isSamePairs(
  one: Readonly<Record<string, string>>,
  other: Readonly<Record<string, string>>,
): boolean {
  return textOf(one) === textOf(other);
}
