/** Content of revisions: each distinct content of a tenant is kept once, and goes with the last revision that uses it. */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { Kysely, Transaction } from 'kysely';
import type { FunctionName, RevisionId, TenantId } from '../../contracts/ids.ts';
import type { Bytecode, PreparedCode } from '../../contracts/model.ts';
import type { CodeTable, Schema } from './schema.ts';

const contentRoles = ['code', 'map', 'source'] as const;
/** A revision has bytecode for one target at most. */
const BYTECODE = 'bytecode/';
export type CodeRole = (typeof contentRoles)[number] | `${typeof BYTECODE}${string}`;
export type CodeBlobs = ReadonlyMap<CodeRole, Omit<CodeTable, 'tenant'>>;

export interface RevisionKey {
  readonly tenant: TenantId;
  readonly fn: FunctionName;
  readonly revision: RevisionId;
}

/** Hashed and in the form of the table; done before the transaction because it takes long for large code. */
export function codeBlobs(prepared: PreparedCode, bytecode: Bytecode | null): CodeBlobs {
  const blobs = new Map<CodeRole, Omit<CodeTable, 'tenant'>>();
  blobs.set('code', blobOf(prepared.code));
  blobs.set('source', blobOf(prepared.source));
  if (prepared.sourceMap !== null) blobs.set('map', blobOf(prepared.sourceMap));
  if (bytecode !== null) blobs.set(bytecodeRole(bytecode.target), blobOf(bytecode.bytes));
  return blobs;
}

function bytecodeRole(target: string): CodeRole {
  return `${BYTECODE}${target}`;
}

function blobOf(bytes: Uint8Array): Omit<CodeTable, 'tenant'> {
  const hash = hashOf(bytes);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const encoding = isUtf8(buffer) && !buffer.includes(0) ? 'utf8' : 'base64';
  return { hash, encoding, content: buffer.toString(encoding) };
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function bytesOf({ content, encoding }: Pick<CodeTable, 'content' | 'encoding'>): Buffer {
  return Buffer.from(content, encoding === 'base64' ? 'base64' : 'utf8');
}

export async function insertCode(
  transaction: Transaction<Schema>,
  key: RevisionKey,
  blobs: CodeBlobs,
): Promise<void> {
  for (const [role, blob] of blobs) {
    await transaction
      .insertInto('code')
      .values({ tenant: key.tenant, ...blob })
      .onConflict((conflict) => conflict.columns(['tenant', 'hash']).doNothing())
      .execute();
    await transaction
      .insertInto('code_refs')
      .values({ ...key, role, hash: blob.hash })
      .execute();
  }
}

/**
 * Gives a revision that is there already the bytecode among `blobs`, if that is for a target that it has none for.
 * @returns hashes of code that may be unused now
 */
export async function replaceBytecode(
  transaction: Transaction<Schema>,
  key: RevisionKey,
  blobs: CodeBlobs,
): Promise<readonly string[]> {
  const fresh = new Map([...blobs].filter(([role]) => role.startsWith(BYTECODE)));
  if (fresh.size === 0) return [];
  const rows = await transaction
    .selectFrom('code_refs')
    .select(['role', 'hash'])
    .where('tenant', '=', key.tenant)
    .where('fn', '=', key.fn)
    .where('revision', '=', key.revision)
    .where('role', 'like', `${BYTECODE}%`)
    .execute();
  if (rows.some(({ role }) => fresh.has(role as CodeRole))) return [];
  await transaction
    .deleteFrom('code_refs')
    .where('tenant', '=', key.tenant)
    .where('fn', '=', key.fn)
    .where('revision', '=', key.revision)
    .where('role', 'like', `${BYTECODE}%`)
    .execute();
  await insertCode(transaction, key, fresh);
  return rows.map(({ hash }) => hash);
}

export async function readCode(db: Kysely<Schema>, key: RevisionKey): Promise<PreparedCode | null> {
  const rows = await contentsOf(db, key, contentRoles);
  const bytes = new Map(rows.map((row) => [row.role, bytesOf(row)]));
  const code = bytes.get('code');
  const source = bytes.get('source');
  return code === undefined || source === undefined
    ? null
    : { code, source, sourceMap: bytes.get('map') ?? null };
}

/** V8 looks at hardly more of it than its head: what is damaged must not get there. */
export async function readBytecode(
  db: Kysely<Schema>,
  key: RevisionKey,
  target: string,
): Promise<Uint8Array | null> {
  const [row] = await contentsOf(db, key, [bytecodeRole(target)]);
  if (row === undefined) return null;
  const bytes = bytesOf(row);
  return hashOf(bytes) === row.hash ? bytes : null;
}

function contentsOf(db: Kysely<Schema>, key: RevisionKey, roles: readonly CodeRole[]) {
  return db
    .selectFrom('code_refs')
    .innerJoin('code', (join) =>
      join.onRef('code.tenant', '=', 'code_refs.tenant').onRef('code.hash', '=', 'code_refs.hash'),
    )
    .select(['code_refs.role', 'code.hash', 'code.encoding', 'code.content'])
    .where('code_refs.tenant', '=', key.tenant)
    .where('code_refs.fn', '=', key.fn)
    .where('code_refs.revision', '=', key.revision)
    .where('code_refs.role', 'in', roles)
    .execute();
}

/** The hashes that these revisions use; to be read before they are deleted. */
export async function hashesOf(
  transaction: Transaction<Schema>,
  of: { readonly tenant: TenantId; readonly fn: FunctionName; readonly revisions?: readonly string[] },
): Promise<readonly string[]> {
  const query = transaction
    .selectFrom('code_refs')
    .select('hash')
    .distinct()
    .where('tenant', '=', of.tenant)
    .where('fn', '=', of.fn);
  const rows = await (
    of.revisions === undefined ? query : query.where('revision', 'in', of.revisions)
  ).execute();
  return rows.map(({ hash }) => hash);
}

/** Deletes those of `hashes` that no revision uses any more. */
export async function collectCode(
  transaction: Transaction<Schema>,
  tenant: TenantId,
  hashes: readonly string[],
): Promise<void> {
  for (const hash of hashes) {
    await transaction
      .deleteFrom('code')
      .where('tenant', '=', tenant)
      .where('hash', '=', hash)
      .where(({ not, exists, selectFrom }) =>
        not(
          exists(
            selectFrom('code_refs').select('role').where('tenant', '=', tenant).where('hash', '=', hash),
          ),
        ),
      )
      .execute();
  }
}
