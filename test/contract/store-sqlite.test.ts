import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { MasterKey } from '../../src/store/master-key.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import { storeSuite } from './store-suite.ts';

const silent = { warn: () => undefined, error: () => undefined };

storeSuite('SQLite', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'berth-store-'));
  let now = 0;
  const store = await openSqliteStore({
    dir,
    masterKey: new MasterKey(Buffer.alloc(32, 7)),
    clock: { now: () => now },
    log: silent,
  });
  return {
    store,
    setTime: (time) => (now = time),
    countCode: async () => {
      const database = new DatabaseSync(join(dir, 'berth.db'), { readOnly: true });
      const row = database.prepare('select count(*) as count from code').get();
      database.close();
      return Number(row?.['count']);
    },
    close: async () => {
      await store.close();
      await rm(dir, { recursive: true });
    },
  };
});
