import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError } from '../config/config-error.ts';
import { makeRunDir, removeRunDir, runDirFor } from './run-dir.ts';

let folder: string;
const uid = process.geteuid!();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-rundir-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the run folder', () => {
  it('is the same for the same data, another for other data, and short enough for sockets', () => {
    mkdirSync(join(folder, 'other'));
    const options = { uid, runtimeDir: undefined };
    const path = runDirFor({ ...options, dataDir: folder });
    expect(runDirFor({ ...options, dataDir: folder })).toBe(path);
    expect(runDirFor({ ...options, dataDir: join(folder, 'other') })).not.toBe(path);
    expect(path.length).toBeLessThan(60);
  });

  it('lets others pass and not list, may be there already, and goes', async () => {
    const path = join(folder, 'run');
    makeRunDir(path, uid);
    makeRunDir(path, uid);
    expect(statSync(path).mode & 0o777).toBe(0o711);
    await removeRunDir(path);
    expect(() => statSync(path)).toThrow('ENOENT');
  });

  it('is refused when others can write in it or own it', () => {
    const path = join(folder, 'run');
    makeRunDir(path, uid);
    expect(() => makeRunDir(path, uid + 1)).toThrow(ConfigError);
    chmodSync(path, 0o777);
    expect(() => makeRunDir(path, uid)).toThrow(ConfigError);
  });
});
