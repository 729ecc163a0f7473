/** Deletes the tenant `acme`, or one function of it, and says when it is done. The test kills it in between. */
import { writeSync } from 'node:fs';
import { functionNameSchema } from '../../src/contracts/ids.ts';
import { MasterKey } from '../../src/store/master-key.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import { acme } from '../contract/store-fixtures.ts';

const [dir, fn] = process.argv.slice(2) as [string, string | undefined];
const store = await openSqliteStore({
  dir,
  masterKey: new MasterKey(Buffer.alloc(32, 1)),
  clock: Date,
  log: { warn: () => undefined, error: () => undefined },
});
if (fn === undefined) await store.deleteTenant(acme);
else await store.deleteFunction(acme, functionNameSchema.parse(fn));
writeSync(1, 'done\n');
