import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { readElfNeeds } from './elf.ts';
import { librariesOf } from './shared-libraries.ts';

const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';

test('Node’s libraries are found, with those that they need in turn', () => {
  const paths = librariesOf(process.execPath, architecture);
  expect(paths.filter((path) => !existsSync(path))).toEqual([]);
  const names = paths.map((path) => basename(path));
  for (const name of ['libc.so.6', 'libm.so.6', 'libstdc++.so.6']) expect(names).toContain(name);
  expect(paths[0]).toMatch(/ld-linux/);
});

test('ldd, where there is one, agrees', () => {
  const ldd = spawnSync('ldd', [process.execPath], { encoding: 'utf8' });
  if (ldd.status !== 0) return console.warn('not compared with ldd: it is not on this machine');
  const wanted = [...ldd.stdout.matchAll(/^\s*(\S+\.so\S*) =>/gm)].map((match) => basename(match[1]!));
  const found = new Set(librariesOf(process.execPath, architecture).map((path) => basename(path)));
  expect(wanted.filter((name) => !found.has(name))).toEqual([]);
});

test('what is not a 64-bit ELF file is refused', () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-elf-'));
  writeFileSync(join(folder, 'script'), '#!/bin/sh\n'.padEnd(100));
  writeFileSync(join(folder, 'short'), 'x');
  expect(() => readElfNeeds(join(folder, 'script'))).toThrow(RangeError);
  expect(() => readElfNeeds(join(folder, 'short'))).toThrow(RangeError);
  rmSync(folder, { recursive: true });
});
