/** kill -9 at any moment: what was acknowledged is there, and the database is whole. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { functionNameSchema } from '../../src/contracts/ids.ts';
import { MasterKey } from '../../src/store/master-key.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import { acme, revisionId } from '../contract/store-fixtures.ts';

const ROUNDS = 10;
const childFile = new URL('./store-kill-child.ts', import.meta.url).pathname;

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'berth-kill-'));
});
afterEach(() => rm(dir, { recursive: true }));

/** Runs the child until it has acknowledged `count` deploys, kills it, and gives all that it acknowledged. */
async function deployUntilKilled(from: number, count: number, delayMs: number): Promise<number[]> {
  const child = spawn(process.execPath, [childFile, dir, String(from)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
  const acknowledged: number[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged.push(Number(line));
    if (acknowledged.length === count) setTimeout(() => child.kill('SIGKILL'), delayMs);
  }
  expect(await gone).toBe('SIGKILL');
  return acknowledged;
}

it('keeps every acknowledged deploy through ten kills', async () => {
  let next = 1;
  const all: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const acknowledged = await deployUntilKilled(
      next,
      5 + Math.floor(Math.random() * 30),
      Math.random() * 20,
    );
    all.push(...acknowledged);
    // One more may have been committed without having been acknowledged.
    next = acknowledged.at(-1)! + 2;
    const store = await openSqliteStore({
      dir,
      masterKey: new MasterKey(Buffer.alloc(32, 1)),
      clock: Date,
      log: { warn: () => undefined, error: () => undefined },
    });
    for (const n of acknowledged) {
      const name = functionNameSchema.parse(`fn${n % 7}`);
      const code = await store.getCode(acme, name, revisionId(n));
      expect([n, Buffer.from(code?.code ?? []).toString()]).toEqual([n, `// ${'x'.repeat(n % 5_000)}\n${n}`]);
    }
    const last = acknowledged.at(-1)!;
    const active = await store.getFunction(acme, functionNameSchema.parse(`fn${last % 7}`));
    expect(active!.activeRevision).toBe(revisionId(last));
    expect(await store.getSecrets(acme, active!.name)).toEqual({ N: String(last) });
    await store.close();
    const database = new DatabaseSync(join(dir, 'berth.db'));
    expect(database.prepare('pragma integrity_check').get()).toEqual({ integrity_check: 'ok' });
    expect(database.prepare('pragma foreign_key_check').all()).toEqual([]);
    expect(database.prepare('select count(*) as n from functions').get()).toEqual(
      database.prepare('select function_count as n from tenants').get(),
    );
    database.close();
  }
  expect(all.length).toBeGreaterThan(ROUNDS * 5 - 1);
}, 120_000);
