/** Names a revision by its content, so that deploying the same twice is one revision. */
import { createHash } from 'node:crypto';
import { type RevisionId, revisionIdSchema } from '../contracts/ids.ts';
import type { Prepared } from '../modules/preparer.ts';

/**
 * `r` and the first 24 hexadecimal digits of the SHA-256 over all that decides how the revision runs and what is shown
 * of it. Each part goes in with its length, so that no two lists of parts are the same bytes.
 */
export function revisionIdOf(prepared: Prepared, nodeRange: string | null = null): RevisionId {
  const hash = createHash('sha256');
  for (const part of parts(prepared, nodeRange)) {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(part.byteLength));
    hash.update(length).update(part);
  }
  return revisionIdSchema.parse(`r${hash.digest('hex').slice(0, 24)}`);
}

function parts({ prepared, ...settings }: Prepared, nodeRange: string | null): readonly Uint8Array[] {
  const { form, isFormFixed, moduleKind, evaluate, filename, language } = settings;
  // Ids of revisions that run on any Node are what they were before there was a choice.
  const node = nodeRange === null ? [] : [nodeRange];
  const words = JSON.stringify([form, isFormFixed, moduleKind, evaluate, filename, language, ...node]);
  // The source is not told by the code alone: TypeScript loses its comments and types.
  return [prepared.code, prepared.sourceMap ?? new Uint8Array(), prepared.source, Buffer.from(words)];
}
