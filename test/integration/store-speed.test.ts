/** A deploy costs the same among ten functions and among ten thousand. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { functionNameSchema } from '../../src/contracts/ids.ts';
import { MasterKey } from '../../src/store/master-key.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import { cpuMsOf } from '../../src/kernel/testing/spent-cpu.ts';
import type { Store } from '../../src/store/store.ts';
import { acme, newDeploy } from '../contract/store-fixtures.ts';
import { copyRows } from '../support/copy-rows.ts';

const FEW = 10;
const MANY = 10_000;
const MEASURED = 20;
const RUNS = 4;

let dir: string;
let store: Store;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'berth-speed-'));
  const masterKey = new MasterKey(Buffer.alloc(32, 1));
  store = await openSqliteStore({
    dir,
    masterKey,
    clock: Date,
    log: { warn: () => undefined, error: () => undefined },
  });
  await store.createTenant({ id: acme, name: 'Acme', limits: {} });
});
afterEach(async () => {
  await store.close();
  await rm(dir, { recursive: true });
});

/** Copies of what one deploy writes, put in by SQL: ten thousand real deploys would wait ten thousand times for the disk. */
function fillUpTo(count: number): void {
  const database = new DatabaseSync(join(dir, 'berth.db'));
  database.exec(`
    begin;
    create temp table numbers as with recursive n(i) as (select ${FEW} union all select i + 1 from n where i < ${count - 1}) select i from n;
    ${copyRows(database, 'functions', { changed: { name: "'filled' || i" }, from: "numbers where name = 'fn0'" })}
    ${copyRows(database, 'revisions', { changed: { fn: "'filled' || i" }, from: "numbers where fn = 'fn0'" })}
    ${copyRows(database, 'code', { changed: { hash: 'hash || i' }, from: 'numbers' })}
    ${copyRows(database, 'code_refs', { changed: { fn: "'filled' || i", hash: 'hash || i' }, from: "numbers where fn = 'fn0'" })}
    update tenants set function_count = ${count};
    commit;`);
  database.close();
}

/** CPU, of all threads: how long the disk takes, and what else runs on this machine, does not count. */
async function deployMs(first: number): Promise<number> {
  return (
    (await cpuMsOf(async () => {
      for (let n = first; n < first + MEASURED; n++) {
        const fn = functionNameSchema.parse(`fn${n % FEW}`);
        await store.deploy(
          newDeploy(n, { fn, maxFunctions: 1_000_000, settings: { meta: { n: String(n) } } }),
        );
      }
    })) / MEASURED
  );
}

/** The least of several, as one may have had to collect garbage. */
async function leastMs(first: number): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < RUNS; run++) times.push(await deployMs(first + run * MEASURED));
  return Math.min(...times);
}

it('deploys as fast among 10,000 functions as among 10', async () => {
  await deployMs(0);
  const few = await leastMs(MEASURED);
  fillUpTo(MANY);
  await deployMs((RUNS + 1) * MEASURED);
  const many = await leastMs((RUNS + 2) * MEASURED);
  console.log(`deploy: ${few.toFixed(2)} ms of CPU among ${FEW}, ${many.toFixed(2)} ms among ${MANY}`);
  expect(many).toBeLessThan(few * 3 + 1);
});

it('reads no table from end to end for a deploy or a delete', async () => {
  await deployMs(0);
  const plans: string[] = [];
  const database = new DatabaseSync(join(dir, 'berth.db'));
  const statements = [
    `select * from functions where tenant = 'a' and name = 'b'`,
    `select id from revisions where tenant = 'a' and fn = 'b' and id != 'c' order by number desc limit 500 offset 49`,
    `select distinct hash from code_refs where tenant = 'a' and fn = 'b' and revision in ('c')`,
    `delete from code where tenant = 'a' and hash = 'b' and not exists (select role from code_refs where tenant = 'a' and hash = 'b')`,
    `delete from revisions where tenant = 'a' and fn = 'b' and id in ('c')`,
    `select * from functions where (tenant > 'a' or (tenant = 'a' and name > 'b')) order by tenant, name limit 500`,
  ];
  for (const sql of statements)
    for (const { detail } of database.prepare(`explain query plan ${sql}`).all()) plans.push(String(detail));
  database.close();
  expect(plans.filter((plan) => /^SCAN (?!functions USING INDEX)/.test(plan))).toEqual([]);
  expect(plans.filter((plan) => plan.includes('TEMP B-TREE'))).toEqual([]);
});
