/** What the operator can mend is said in words; anything else is ours and shows its stack. */
import { ConfigError } from '../config/config-error.ts';
import { BerthError, problemOf } from '../contracts/errors.ts';
import { StoreOpenError } from '../store/store-open-error.ts';
import { DataFolderInUse } from './platform-lock.ts';

const EXIT_USAGE = 2;

/** Says why the process ends, and ends it. */
export function fail(error: unknown): never {
  process.stderr.write(`berth: ${wordsOf(error)}\n`);
  process.exit(error instanceof ConfigError ? EXIT_USAGE : 1);
}

function wordsOf(error: unknown): string {
  if (error instanceof BerthError) return `${error.message} ${problemOf(error).wayOut}`;
  const isExpected =
    error instanceof ConfigError || error instanceof StoreOpenError || error instanceof DataFolderInUse;
  if (isExpected) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
