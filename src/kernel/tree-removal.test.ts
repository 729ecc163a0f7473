import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { removeTree } from './tree-removal.ts';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'berth-removal-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

it('deletes a directory below the root, and not what its links lead to', async () => {
  mkdirSync(join(root, 'keep'));
  writeFileSync(join(root, 'keep/file'), 'x');
  mkdirSync(join(root, 'go/deep'), { recursive: true });
  symlinkSync(join(root, 'keep'), join(root, 'go/link'));
  await removeTree(root, join(root, 'go'));
  await removeTree(root, join(root, 'go'));
  expect(existsSync(join(root, 'go'))).toBe(false);
  expect(existsSync(join(root, 'keep/file'))).toBe(true);
});

it.each(['', '.', '..', '../other', 'a/../..', '/'])(
  'refuses %j, which is not below the root',
  async (path) => {
    const target = path.startsWith('/') ? path : `${root}/${path}`;
    await expect(removeTree(root, target)).rejects.toThrow('does not lie under its root');
    expect(existsSync(root)).toBe(true);
  },
);
