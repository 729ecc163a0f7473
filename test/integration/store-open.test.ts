/** Opening the store: keys, files and their modes, damage, other versions. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadMasterKey, MasterKey } from '../../src/store/master-key.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import { hasSqliteStore } from '../../src/store/sqlite/sqlite-files.ts';
import { LOCK_MS } from '../../src/store/sql/patience.ts';
import { StoreOpenError } from '../../src/store/store-open-error.ts';
import type { Store } from '../../src/store/store.ts';
import { acme, hello, newDeploy, other, revisionId, webtask } from '../contract/store-fixtures.ts';

const masterKey = new MasterKey(Buffer.alloc(32, 7));
const warnings: string[] = [];
const log = { warn: (_: object, text: string) => warnings.push(text), error: () => undefined };
const clock = { now: () => 1_000 };

let dir: string;
let stores: Store[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'berth-open-'));
  stores = [];
  warnings.length = 0;
});
afterEach(async () => {
  for (const store of stores) await store.close();
  await rm(dir, { recursive: true });
});

async function open(folder = dir, key = masterKey): Promise<Store> {
  const store = await openSqliteStore({ dir: folder, masterKey: key, clock, log });
  stores.push(store);
  return store;
}

async function closed(work: (store: Store) => Promise<unknown>): Promise<void> {
  const store = await open();
  await work(store);
  await store.close();
}

function change(sql: string, file = 'berth.db'): void {
  const database = new DatabaseSync(join(dir, file));
  database.exec(sql);
  database.close();
}

const secrets = { PASSWORD: 'the-secret-text-of-acme' };

async function fill(store: Store): Promise<void> {
  for (const tenant of [acme, other]) {
    await store.createTenant({ id: tenant, name: tenant, limits: {} });
    await store.deploy(newDeploy(1, { tenant, settings: { secrets, webtask } }));
    const secret = Buffer.from('the-signing-key-of-the-tenant-32');
    await store.addTenantKey({ kind: 'hs256', id: 'k', tenant, secret, createdAt: 1, revokedAt: null });
  }
  const secret = Buffer.from('the-signing-key-of-the-platform!');
  for (const id of ['p1', 'p2'])
    await store.addPlatformKey({ id, secret, createdAt: 1, retiredAt: null, revokedAt: null });
}

describe('the files of the store', () => {
  it('are for the platform’s user only, with a folder of their own', async () => {
    const folder = join(dir, 'made', 'here');
    expect(hasSqliteStore(folder)).toBe(false);
    await (await open(folder)).createTenant({ id: acme, name: 'Acme', limits: {} });
    expect(hasSqliteStore(folder)).toBe(true);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    const files = await readdir(folder);
    expect(files).toEqual(expect.arrayContaining(['berth.db', 'berth.db-wal', 'logs.db']));
    for (const file of files)
      expect([file, (await stat(join(folder, file))).mode & 0o777]).toEqual([file, 0o600]);
  });

  it('are restricted again when somebody opened them up', async () => {
    await closed((store) => store.ping());
    await chmod(join(dir, 'berth.db'), 0o666);
    await closed((store) => store.ping());
    expect((await stat(join(dir, 'berth.db'))).mode & 0o777).toBe(0o600);
  });

  it('hold everything after a restart', async () => {
    await closed(fill);
    const store = await open();
    expect(await store.getFunction(acme, hello)).toMatchObject({ activeRevision: revisionId(1), webtask });
    expect(await store.getSecrets(acme, hello)).toEqual(secrets);
    expect(Buffer.from((await store.getCode(acme, hello, revisionId(1)))!.code).toString()).toContain(
      'module.exports',
    );
    expect((await store.listTenantKeys(acme))[0]).toMatchObject({ id: 'k' });
    expect(await store.listPlatformKeys()).toHaveLength(2);
  });

  it('give no bytecode that is damaged', async () => {
    const { revision, ...rest } = newDeploy(1, { bytecode: { target: 't', bytes: Buffer.of(1, 0, 2) } });
    const store = await open();
    await store.createTenant({ id: acme, name: 'Acme', limits: {} });
    await store.deploy({ revision, ...rest });
    expect(await store.getBytecode(revision, 't')).toEqual(Buffer.of(1, 0, 2));
    const database = new DatabaseSync(join(dir, 'berth.db'));
    const damaged = database.prepare("update code set content = 'AAAA' where encoding = 'base64'").run();
    database.close();
    expect(damaged.changes).toBe(1);
    expect(await store.getBytecode(revision, 't')).toBeNull();
  });

  it('hold no secret in clear', async () => {
    const store = await open();
    await fill(store);
    const words = ['the-secret-text', webtask.token, 'the-signing-key'].flatMap((word) => [
      word,
      Buffer.from(word).toString('base64url').slice(0, -2),
      Buffer.from(word).toString('hex'),
    ]);
    for (const file of await readdir(dir)) {
      const content = await readFile(join(dir, file), 'latin1');
      for (const word of words) expect([file, content.includes(word)]).toEqual([file, false]);
    }
  });

  it('use a log that survives a power cut, and foreign keys', async () => {
    const store = await open();
    await fill(store);
    const database = new DatabaseSync(join(dir, 'berth.db'), { readOnly: true });
    expect(database.prepare('pragma journal_mode').get()).toEqual({ journal_mode: 'wal' });
    expect(database.prepare('pragma foreign_key_check').all()).toEqual([]);
    expect(database.prepare('pragma integrity_check').get()).toEqual({ integrity_check: 'ok' });
    database.close();
  });
});

describe('a sealed value', () => {
  it('does not open in the row of another tenant, name or key', async () => {
    await closed(fill);
    const swaps: [string, (store: Store) => Promise<unknown>][] = [
      [
        `update secrets set sealed = (select sealed from secrets where tenant = 'other') where tenant = 'acme'`,
        (store) => store.getSecrets(acme, hello),
      ],
      [`update secrets set name = 'OTHER' where tenant = 'other'`, (store) => store.getSecrets(other, hello)],
      [
        `update functions set webtask = (select webtask from functions where tenant = 'other') where tenant = 'acme'`,
        (store) => store.getFunction(acme, hello),
      ],
      [
        `update tenant_keys set sealed = (select sealed from tenant_keys where tenant = 'other') where tenant = 'acme'`,
        (store) => store.listTenantKeys(acme),
      ],
      [
        `update platform_keys set sealed = (select sealed from platform_keys where id = 'p1') where id = 'p2'`,
        (store) => store.listPlatformKeys(),
      ],
    ];
    for (const [sql, read] of swaps) {
      change(sql);
      await closed((store) => expect(read(store)).rejects.toThrow(/another place/));
    }
  });

  it('that was changed by one bit does not open', async () => {
    await closed(fill);
    change(
      `update secrets set sealed = substr(sealed, 1, length(sealed) - 4) || 'AAAA' where tenant = 'acme'`,
    );
    await closed((store) => expect(store.getSecrets(acme, hello)).rejects.toThrow(/does not open/));
  });
});

describe('the store does not open', () => {
  it('with another master key, and says so', async () => {
    await closed(fill);
    await expect(open(dir, new MasterKey(Buffer.alloc(32, 8)))).rejects.toThrow(
      /sealed under another master key/,
    );
    await closed((store) => store.ping());
  });

  it('when a newer Berth made it, and changes nothing', async () => {
    await closed(fill);
    for (const file of ['berth.db', 'logs.db']) {
      change(`insert into kysely_migration values ('9999-future', '2040-01-01')`, file);
      await expect(open()).rejects.toThrow(/newer Berth.*9999-future/);
      change(`delete from kysely_migration where name = '9999-future'`, file);
    }
    await closed((store) => store.ping());
  });

  it('when its file is damaged or something else', async () => {
    await closed(fill);
    for (const content of ['this is no database, but long enough to be looked at as one'.repeat(20)]) {
      await writeFile(join(dir, 'berth.db'), content);
      await rm(join(dir, 'berth.db-wal'), { force: true });
      const error: unknown = await open().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(StoreOpenError);
      expect(String(error)).toMatch(/damaged or no SQLite database/);
    }
  });

  it('but for damaged logs it does: they are put aside', async () => {
    await closed(fill);
    await writeFile(join(dir, 'logs.db'), 'no database at all'.repeat(100));
    await closed((store) => store.queryLogs({ tenant: acme, limit: 1 }));
    expect(warnings).toEqual([expect.stringContaining('put aside')]);
    expect(await readdir(dir)).toEqual(expect.arrayContaining(['logs.db', 'logs.db.damaged-1000']));
  });
});

describe('a first start that was killed', () => {
  it('at an empty file is taken up again', async () => {
    await writeFile(join(dir, 'berth.db'), '');
    await closed(fill);
  });

  it('leaves no half schema: the migration is one transaction', async () => {
    await closed((store) => store.ping());
    const database = new DatabaseSync(join(dir, 'berth.db'));
    // The state after a kill within the migration: Kysely's own tables are there, the rest was rolled back.
    const tables = database
      .prepare(`select name from sqlite_master where type = 'table' and name not like 'kysely%'`)
      .all();
    database.exec('pragma foreign_keys = off; delete from kysely_migration');
    for (const { name } of tables) database.exec(`drop table "${String(name)}"`);
    database.close();
    await closed(fill);
  });
});

describe('the master key', () => {
  const file = () => join(dir, 'keys', 'master-key');

  it('is made once, for the platform’s user only, and never shown', async () => {
    const made = await loadMasterKey({ file: file() });
    expect((await stat(file())).mode & 0o777).toBe(0o600);
    expect(await readdir(join(dir, 'keys'))).toEqual(['master-key']);
    expect((await loadMasterKey({ file: file() })).reveal()).toEqual(made.reveal());
    const text = Buffer.from(made.reveal()).toString('base64url');
    for (const shown of [
      String(made),
      `${made}`,
      JSON.stringify({ made }),
      inspect(made),
      inspect({ made }, { showHidden: true }),
    ])
      expect(shown).not.toContain(text);
    expect(inspect(made)).toBe('[secret]');
  });

  it('is the same for all that start at the same time', async () => {
    const keys = await Promise.all(Array.from({ length: 8 }, () => loadMasterKey({ file: file() })));
    expect(new Set(keys.map((key) => Buffer.from(key.reveal()).toString('hex'))).size).toBe(1);
    expect(await readdir(join(dir, 'keys'))).toEqual(['master-key']);
  });

  it('may be given as text, or as a file', async () => {
    const text = Buffer.alloc(32, 9).toString('base64url');
    expect((await loadMasterKey({ file: file(), value: text })).reveal()).toEqual(new Uint8Array(32).fill(9));
    await mkdir(join(dir, 'given'));
    const given = join(dir, 'given', 'key');
    await writeFile(given, `${text}\n`, { mode: 0o600 });
    expect((await loadMasterKey({ file: file(), value: given })).reveal()).toEqual(
      new Uint8Array(32).fill(9),
    );
    expect(await readdir(dir)).toEqual(['given']);
  });

  it('is refused when it is broken, readable by others, or gone although there is a database', async () => {
    await loadMasterKey({ file: file() });
    await chmod(file(), 0o640);
    await expect(loadMasterKey({ file: file() })).rejects.toThrow(/chmod 600/);
    await chmod(file(), 0o600);
    await writeFile(file(), 'short');
    await expect(loadMasterKey({ file: file() })).rejects.toThrow(/no master key/);
    await rm(file());
    await expect(loadMasterKey({ file: file(), mayCreate: false })).rejects.toThrow(/is gone/);
    await expect(loadMasterKey({ file: file(), value: join(dir, 'nowhere') })).rejects.toThrow(
      /cannot be read/,
    );
    expect(await readdir(join(dir, 'keys'))).toEqual([]);
  });
});

describe('a database that another process has locked', () => {
  const locked = (file: string): DatabaseSync => {
    const database = new DatabaseSync(join(dir, file));
    database.exec('begin immediate');
    return database;
  };

  it('lets a change wait, and nobody else: the thread stays free, and reads are answered', async () => {
    const store = await open();
    await store.createTenant({ id: acme, name: acme, limits: {} });
    const lock = locked('berth.db');
    let turns = 0;
    const timer = setInterval(() => void turns++, 5);
    const change = store.updateTenant(acme, { name: 'later' });
    for (let reads = 0; reads < 10; reads++) {
      expect((await store.getTenant(acme))!.name).toBe(acme);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
    lock.exec('rollback');
    lock.close();
    expect((await change).name).toBe('later');
  });

  it(
    'refuses changes in the end, all of them at the same time, and takes them again',
    { timeout: 60_000 },
    async () => {
      const store = await open();
      await store.createTenant({ id: acme, name: acme, limits: {} });
      const lock = locked('berth.db');
      const start = performance.now();
      const changes = ['a', 'b', 'c'].map((name) => store.updateTenant(acme, { name }));
      for (const result of await Promise.allSettled(changes))
        expect(result).toMatchObject({ status: 'rejected', reason: { code: 'STORE_UNAVAILABLE' } });
      expect(performance.now() - start).toBeLessThan(2 * LOCK_MS);
      lock.close();
      expect((await store.updateTenant(acme, { name: 'd' })).name).toBe('d');
    },
  );
});
