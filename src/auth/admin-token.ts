/** The operator's token in a file that only the platform's user can read. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BerthError } from '../contracts/errors.ts';
import type { TokenIssuer, TokenVerifier } from './principal.ts';
import { MAX_TOKEN_CHARACTERS } from './refusal.ts';

export interface AdminTokenOptions {
  readonly file: string;
  readonly issuer: TokenIssuer;
  readonly verifier: TokenVerifier;
}

/**
 * The token in the file; when there is none, or one that is not good any more (revoked, of another installation), a new
 * one is written there, whole or not at all. `isNew`: to be shown to the operator.
 */
export async function ensureAdminToken(
  options: AdminTokenOptions,
): Promise<{ readonly token: string; readonly isNew: boolean }> {
  const kept = await readToken(options.file);
  if (kept !== null && (await isOperators(options.verifier, kept))) return { token: kept, isNew: false };
  const { token } = await options.issuer.issue({ scopes: ['operator'], tenant: null });
  await writeToken(options.file, token);
  return { token, isNew: true };
}

async function readToken(file: string): Promise<string | null> {
  try {
    const text = (await readFile(file, 'latin1')).trim();
    return text === '' || text.length > MAX_TOKEN_CHARACTERS ? null : text;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

async function isOperators(verifier: TokenVerifier, token: string): Promise<boolean> {
  try {
    return (await verifier.verify(token, null)).scopes.has('operator');
  } catch (error) {
    if (error instanceof BerthError && error.code === 'TOKEN_INVALID') return false;
    throw error;
  }
}

async function writeToken(file: string, token: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const unfinished = `${file}.${randomBytes(8).toString('hex')}`;
  try {
    const handle = await open(unfinished, 'wx', 0o600);
    try {
      await handle.writeFile(`${token}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(unfinished, file);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  const folder = await open(dirname(file));
  await folder.sync().finally(() => folder.close());
}
