/** Deploys without end and prints the number of each deploy once it is acknowledged. Ends by being killed. */
import { writeSync } from 'node:fs';
import { functionNameSchema } from '../../src/contracts/ids.ts';
import { MasterKey } from '../../src/store/master-key.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import { acme, newDeploy } from '../contract/store-fixtures.ts';

const [dir, from] = process.argv.slice(2) as [string, string];
const store = await openSqliteStore({
  dir,
  masterKey: new MasterKey(Buffer.alloc(32, 1)),
  clock: Date,
  log: { warn: () => undefined, error: () => undefined },
});
if ((await store.getTenant(acme)) === null) await store.createTenant({ id: acme, name: 'Acme', limits: {} });
for (let n = Number(from); ; n++) {
  const fn = functionNameSchema.parse(`fn${n % 7}`);
  const code = `// ${'x'.repeat(n % 5_000)}\n${n}`;
  const settings = { secrets: { N: String(n) } };
  await store.deploy(newDeploy(n, { fn, code, settings, keepRevisions: 10_000 }));
  writeSync(1, `${n}\n`);
}
