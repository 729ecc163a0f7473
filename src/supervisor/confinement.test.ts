import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError } from '../config/config-error.ts';
import { confinement, coversOf } from './confinement.ts';
import { giveDataFolder, requireOwnFolder } from './data-folder.ts';
import { serverUserOf } from './server-user.ts';

const UID = 299_998;
const isRoot = process.geteuid?.() === 0;
if (!isRoot) console.warn('tests of giving up root are skipped: they want root');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-confine-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the user of the server', () => {
  it('is another than root, and the own one for everybody else', () => {
    expect(serverUserOf(299_999, 0)).toEqual({ uid: 299_999, isSeparate: true });
    expect(serverUserOf(299_999, 1_000)).toEqual({ uid: 1_000, isSeparate: false });
  });

  it.each([300_000, 365_535])('is never one that a sandbox may have: %d', (uid) => {
    expect(() => serverUserOf(uid, 0)).toThrow(ConfigError);
  });
});

describe('folders that the server’s user cannot pass', () => {
  it('are covered at the topmost one, and no others', () => {
    const file = join(folder, 'a', 'b', 'file');
    mkdirSync(join(folder, 'a', 'b'), { recursive: true });
    writeFileSync(file, '');
    expect(coversOf([file], UID)).toEqual([folder]);
    chmodSync(folder, 0o711);
    expect(coversOf([file], UID)).toEqual([]);
    chmodSync(join(folder, 'a'), 0o700);
    chmodSync(join(folder, 'a', 'b'), 0o700);
    expect(coversOf([file], UID)).toEqual([join(folder, 'a')]);
  });
});

describe.skipIf(!isRoot)('giving up root', () => {
  const run = (needs: readonly string[], ...command: string[]): { stdout: string; stderr: string } => {
    const stashDir = join(folder, 'stash');
    mkdirSync(stashDir, { recursive: true });
    const [first, ...rest] = confinement({ uid: UID, needs, stashDir });
    return spawnSync(first!, [...rest, ...command], { encoding: 'utf8', cwd: '/' });
  };

  it('shows of a closed folder what the server needs, at its place, and nothing else', () => {
    const closed = join(folder, 'closed');
    mkdirSync(join(closed, 'program'), { recursive: true });
    mkdirSync(join(closed, 'data'));
    chownSync(join(closed, 'data'), 0, UID);
    chmodSync(join(closed, 'data'), 0o770);
    writeFileSync(join(closed, 'program', 'main'), 'program');
    writeFileSync(join(closed, 'node'), 'node');
    writeFileSync(join(closed, 'secret'), 'secret');
    chmodSync(folder, 0o755);
    chmodSync(closed, 0o700);
    const needs = ['program', 'node', 'data'].map((name) => join(closed, name));
    const shown = run(needs, 'find', closed, '-printf', '%P:%y ');
    expect(shown.stdout.trim().split(' ').sort()).toEqual([
      ':d',
      'data:d',
      'node:f',
      'program/main:f',
      'program:d',
    ]);
    const written = run(
      needs,
      'sh',
      '-c',
      `cat "${closed}/program/main" && echo kept > "${closed}/data/file"; id -u`,
    );
    expect(written.stdout).toBe(`program${UID}\n`);
    expect(readFileSync(join(closed, 'data', 'file'), 'utf8')).toBe('kept\n');
    expect(statSync(join(closed, 'data', 'file')).uid).toBe(UID);
  });

  it('is refused when the server could not read its own program', () => {
    writeFileSync(join(folder, 'main'), '', { mode: 0o600 });
    expect(() => run([join(folder, 'main')], 'true')).toThrow('chmod -R go+rX');
  });
});

describe.skipIf(!isRoot)('the data folder', () => {
  const ownerOf = (name: string): number => statSync(join(folder, name)).uid;

  it('gives the server its files and keeps the others, any number of times', () => {
    const files = [
      'berth.db',
      'berth.db-wal',
      'logs.db',
      'logs.db.damaged-1',
      'admin-token',
      'master-key',
      'platform.lock',
    ];
    for (const name of files) writeFileSync(join(folder, name), '');
    mkdirSync(join(folder, 'cache'));
    giveDataFolder(folder, UID);
    giveDataFolder(folder, UID);
    expect(files.filter((name) => ownerOf(name) === UID)).toEqual(files.slice(0, 5));
    expect(ownerOf('cache')).toBe(0);
    expect(statSync(folder)).toMatchObject({ uid: 0, gid: UID });
    expect(statSync(folder).mode & 0o7777).toBe(0o1770);
  });

  it.each<[what: string, make: (at: string) => void]>([
    ['a link', (at) => symlinkSync(join(folder, 'master-key'), at)],
    ['a hard link', (at) => linkSync(join(folder, 'master-key'), at)],
    ['a folder', (at) => mkdirSync(at)],
    ['a pipe', (at) => void spawnSync('mkfifo', [at])],
  ])('does not give away what a hostile server has put there: %s', (_what, make) => {
    writeFileSync(join(folder, 'master-key'), '');
    make(join(folder, 'berth.db'));
    expect(() => giveDataFolder(folder, UID)).toThrow(/no ordinary file|symbolic link/);
    expect(ownerOf('master-key')).toBe(0);
  });

  it('has a cache that nobody else can write in', () => {
    const cache = join(folder, 'cache');
    requireOwnFolder(cache);
    mkdirSync(cache);
    requireOwnFolder(cache);
    chownSync(cache, UID, UID);
    expect(() => requireOwnFolder(cache)).toThrow(ConfigError);
    chownSync(cache, 0, 0);
    chmodSync(cache, 0o777);
    expect(() => requireOwnFolder(cache)).toThrow(ConfigError);
  });
});
