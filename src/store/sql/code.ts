/** Content of revisions: each distinct content of a tenant is kept once, and goes with the last revision that uses it. */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { Kysely, Transaction } from 'kysely';
import type { FunctionName, RevisionId, TenantId } from '../../contracts/ids.ts';
import type { PreparedCode } from '../../contracts/model.ts';
import type { CodeTable, Schema } from './schema.ts';

export type CodeRole = 'code' | 'map' | 'source';
export type CodeBlobs = ReadonlyMap<CodeRole, Omit<CodeTable, 'tenant'>>;

export interface RevisionKey {
  readonly tenant: TenantId;
  readonly fn: FunctionName;
  readonly revision: RevisionId;
}

/** Hashed and in the form of the table; done before the transaction because it takes long for large code. */
export function codeBlobs(prepared: PreparedCode): CodeBlobs {
  const blobs = new Map<CodeRole, Omit<CodeTable, 'tenant'>>();
  blobs.set('code', blobOf(prepared.code));
  blobs.set('source', blobOf(prepared.source));
  if (prepared.sourceMap !== null) blobs.set('map', blobOf(prepared.sourceMap));
  return blobs;
}

function blobOf(bytes: Uint8Array): Omit<CodeTable, 'tenant'> {
  const hash = createHash('sha256').update(bytes).digest('hex');
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const encoding = isUtf8(buffer) && !buffer.includes(0) ? 'utf8' : 'base64';
  return { hash, encoding, content: buffer.toString(encoding) };
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

export async function readCode(db: Kysely<Schema>, key: RevisionKey): Promise<PreparedCode | null> {
  const rows = await db
    .selectFrom('code_refs')
    .innerJoin('code', (join) =>
      join.onRef('code.tenant', '=', 'code_refs.tenant').onRef('code.hash', '=', 'code_refs.hash'),
    )
    .select(['code_refs.role', 'code.encoding', 'code.content'])
    .where('code_refs.tenant', '=', key.tenant)
    .where('code_refs.fn', '=', key.fn)
    .where('code_refs.revision', '=', key.revision)
    .execute();
  const bytes = new Map(
    rows.map((row) => [row.role, Buffer.from(row.content, row.encoding === 'base64' ? 'base64' : 'utf8')]),
  );
  const code = bytes.get('code');
  const source = bytes.get('source');
  return code === undefined || source === undefined
    ? null
    : { code, source, sourceMap: bytes.get('map') ?? null };
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
