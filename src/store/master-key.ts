/** The key that everything secret in the store is sealed under: 32 random bytes in a 0600 file, or given by the operator. */
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { inspect } from 'node:util';
import { StoreOpenError } from './store-open-error.ts';

export const MASTER_KEY_BYTES = 32;
const KEY_TEXT = /^[A-Za-z0-9_-]{43}$/;

/** Prints as `[secret]` wherever it is logged, inspected or serialised. */
export class MasterKey {
  readonly #bytes: Uint8Array;

  /** @throws RangeError when it is not 32 bytes */
  constructor(bytes: Uint8Array) {
    if (bytes.length !== MASTER_KEY_BYTES) throw new RangeError(`a master key is ${MASTER_KEY_BYTES} bytes`);
    this.#bytes = Uint8Array.from(bytes);
  }

  /** A copy of the key's bytes. */
  reveal(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}

export interface MasterKeyOptions {
  /** Where the key is made at first start, and read from then on. */
  readonly file: string;
  /** `BERTH_MASTER_KEY`: the key itself as base64url (43 characters), or the path of a file that holds it. */
  readonly value?: string | undefined;
  /** False where a database is there already: a new key could not open it. Default true. */
  readonly mayCreate?: boolean;
  readonly random?: (size: number) => Uint8Array;
}

/** @throws StoreOpenError when the key is missing, malformed or readable by other users */
export async function loadMasterKey(options: MasterKeyOptions): Promise<MasterKey> {
  const value = options.value?.trim() ?? '';
  if (KEY_TEXT.test(value)) return parseKey(value, 'BERTH_MASTER_KEY');
  if (value !== '') return readKeyFile(value);
  try {
    return await readKeyFile(options.file);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  if (options.mayCreate === false) {
    throw new StoreOpenError(
      `the master key ${options.file} is gone, but there is a database sealed under it. Put the file back, or give the key by BERTH_MASTER_KEY`,
    );
  }
  return createKeyFile(options.file, options.random ?? randomBytes);
}

async function readKeyFile(file: string): Promise<MasterKey> {
  let text;
  try {
    const { mode } = await stat(file);
    if ((mode & 0o077) !== 0) {
      throw new StoreOpenError(`the master key ${file} can be read by other users. Run: chmod 600 ${file}`);
    }
    text = await readFile(file, 'latin1');
  } catch (error) {
    if (error instanceof StoreOpenError) throw error;
    throw new StoreOpenError(`the master key ${file} cannot be read`, error);
  }
  return parseKey(text.trim(), file);
}

function parseKey(text: string, place: string): MasterKey {
  if (!KEY_TEXT.test(text)) {
    throw new StoreOpenError(
      `${place} holds no master key: it must be ${MASTER_KEY_BYTES} bytes as base64url (43 characters) or a file with them`,
    );
  }
  return new MasterKey(Buffer.from(text, 'base64url'));
}

/** Whole or not at all, whenever the platform is killed, and only one of two that start together makes it. */
async function createKeyFile(file: string, random: (size: number) => Uint8Array): Promise<MasterKey> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const unfinished = `${file}.${Buffer.from(random(8)).toString('hex')}`;
  const handle = await open(unfinished, 'wx', 0o600);
  try {
    await handle.writeFile(`${Buffer.from(random(MASTER_KEY_BYTES)).toString('base64url')}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await link(unfinished, file).catch((error: unknown) => {
    if (!hasCode(error, 'EEXIST')) throw error;
  });
  await rm(unfinished, { force: true });
  const folder = await open(dirname(file));
  await folder.sync().finally(() => folder.close());
  return readKeyFile(file);
}

function isMissing(error: unknown): boolean {
  return error instanceof StoreOpenError && hasCode(error.cause, 'ENOENT');
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
