/** What is deleted is gone at once, however much there is of it; a kill in between leaves nothing that anybody sees. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { functionNameSchema } from '../../src/contracts/ids.ts';
import { MasterKey } from '../../src/store/master-key.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { acme, newDeploy } from '../contract/store-fixtures.ts';
import { copyRows } from '../support/copy-rows.ts';

const FUNCTIONS = 30;
const COPIES = 2_000;
const childFile = new URL('./store-delete-child.ts', import.meta.url).pathname;
const page = { limit: 10 };

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'berth-delete-'));
});
afterEach(() => rm(dir, { recursive: true }));

function open(): Promise<Store> {
  return openSqliteStore({
    dir,
    masterKey: new MasterKey(Buffer.alloc(32, 1)),
    clock: Date,
    log: { warn: () => undefined, error: () => undefined },
  });
}

function read<Row>(sql: string): Row {
  const database = new DatabaseSync(join(dir, 'berth.db'), { readOnly: true, timeout: 5_000 });
  const row = database.prepare(sql).get() as Row;
  database.close();
  return row;
}

const count = (table: string): number => read<{ n: number }>(`select count(*) as n from ${table}`).n;

/** A tenant with functions, one of them with thousands of contents, put in by SQL. */
async function fill(): Promise<Store> {
  const store = await open();
  await store.createTenant({ id: acme, name: 'Acme', limits: {} });
  for (let n = 0; n < FUNCTIONS; n++)
    await store.deploy(newDeploy(n, { fn: functionNameSchema.parse(`fn${n}`), code: `// ${n}` }));
  const database = new DatabaseSync(join(dir, 'berth.db'));
  database.exec(`
    begin;
    create temp table numbers as with recursive n(i) as (select 2 union all select i + 1 from n where i < ${COPIES}) select i from n;
    ${copyRows(database, 'revisions', { changed: { id: 'id || i', number: 'i + 100' }, from: "numbers where fn = 'fn0'" })}
    insert into code select id, 'h' || i, 'utf8', hex(randomblob(20000)) from numbers, tenants;
    insert into code_refs select tenant, 'fn0', id || i, 'source', 'h' || i from revisions, numbers where fn = 'fn0' and number = 1;
    commit;`);
  database.close();
  return store;
}

/** Kills a process that deletes as soon as `isBegun`. */
async function killWhileDeleting(isBegun: () => boolean, fn?: string): Promise<void> {
  const child = spawn(process.execPath, [childFile, dir, ...(fn === undefined ? [] : [fn])], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
  const until = Date.now() + 30_000;
  while (!isBegun() && Date.now() < until) await new Promise((resolve) => setImmediate(resolve));
  child.kill('SIGKILL');
  expect(await gone).toBe('SIGKILL');
}

it('a tenant: killed in between, the next start ends it', { timeout: 120_000 }, async () => {
  await (await fill()).close();
  await killWhileDeleting(
    () => read<{ state: string } | undefined>('select state from tenants')?.state === 'gone',
  );
  expect(count('code')).toBeGreaterThan(0);
  const store = await open();
  expect(await store.getTenant(acme)).toBeNull();
  expect([await store.listTenants(page), await store.countTenants()]).toEqual([[], 0]);
  for (const table of ['tenants', 'functions', 'revisions', 'code', 'code_refs'])
    expect(count(table)).toBe(0);
  await store.close();
});

it('a function: killed in between, the next start ends it', { timeout: 120_000 }, async () => {
  await (await fill()).close();
  const others = FUNCTIONS - 1;
  await killWhileDeleting(
    () => read<{ n: number }>(`select count(*) as n from functions where name = 'fn0'`).n === 0,
    'fn0',
  );
  expect(count('code')).toBeGreaterThan(3 * FUNCTIONS);
  const store = await open();
  expect(await store.listFunctions(acme, { limit: 100 })).toHaveLength(others);
  expect(read(`select count(*) as n from code where hash like 'h%'`)).toEqual({ n: 0 });
  const kept = await store.getCode(acme, functionNameSchema.parse('fn1'), newDeploy(1).revision.id);
  expect(Buffer.from(kept!.code).toString()).toBe('// 1');
  await store.close();
});

it('a tenant whose bulk is still being deleted is not there, and another may have its name', async () => {
  const store = await fill();
  const told = new Promise<void>((resolve) => {
    store.onChange(({ kind }) => {
      if (kind === 'keys') resolve();
    });
  });
  const deleting = store.deleteTenant(acme);
  await told;
  expect(await store.getTenant(acme)).toBeNull();
  expect([await store.listTenants(page), await store.countTenants()]).toEqual([[], 0]);
  expect(await store.deleteTenant(acme)).toBe(false);
  await expect(store.updateTenant(acme, { name: 'x' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await expect(store.deploy(newDeploy(1, { fn: functionNameSchema.parse('new') }))).rejects.toMatchObject({
    code: 'NOT_FOUND',
  });
  expect(count('code')).toBeGreaterThan(0);
  await store.createTenant({ id: acme, name: 'Another', limits: {} });
  await store.deploy(newDeploy(1, { fn: functionNameSchema.parse('new') }));
  expect(await deleting).toBe(true);
  expect((await store.listFunctions(acme, page)).map(({ name }) => name)).toEqual(['new']);
  expect(await store.getTenant(acme)).toMatchObject({ name: 'Another', state: 'active' });
  await store.close();
});
