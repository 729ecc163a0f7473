import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { DataFolderInUse, lockDataFolder } from './platform-lock.ts';

it('one platform has a data folder, until it lets go or dies', () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-lock-'));
  const lock = lockDataFolder(folder);
  expect(() => lockDataFolder(folder)).toThrow(DataFolderInUse);
  lock.release();
  const url = new URL('platform-lock.ts', import.meta.url).href;
  const program = `const { lockDataFolder } = await import(${JSON.stringify(url)}); lockDataFolder(${JSON.stringify(folder)}); process.kill(process.pid, 'SIGKILL');`;
  expect(spawnSync(process.execPath, ['--input-type=module', '-e', program]).signal).toBe('SIGKILL');
  lockDataFolder(folder).release();
  rmSync(folder, { recursive: true });
});
