import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeImage, type ImageSource } from './sandbox-image.ts';
import { tarArchive } from './tar.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-image-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function source(runtime: string): ImageSource {
  const runtimeFile = join(folder, 'runtime.cjs');
  writeFileSync(runtimeFile, runtime);
  const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
  return { nodePath: process.execPath, nodeVersion: '24.1.2', runtimeFile, architecture };
}

function unpack(archive: Iterable<Buffer>, name: string): string {
  const [file, target] = [join(folder, `${name}.tar`), join(folder, name)];
  writeFileSync(file, Buffer.concat([...archive]));
  expect(spawnSync('mkdir', ['-p', target]).status).toBe(0);
  const { status, stderr } = spawnSync('tar', ['-xf', file, '-C', target], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
  return target;
}

test('the same files give the same image, whenever; another runtime gives another one', () => {
  const one = describeImage(source('1;'));
  utimesSync(join(folder, 'runtime.cjs'), new Date(0), new Date(0));
  const again = describeImage(source('1;'));
  expect(again.tag).toBe(one.tag);
  expect(one.tag).toMatch(/^berth-sandbox:24\.1\.2-[0-9a-f]{12}$/);
  expect(one.currentTag).toBe('berth-sandbox:node24');
  expect(describeImage(source('2;')).tag).not.toBe(one.tag);
});

test('its layers are what its configuration says, and hold Node, its libraries and the runtime, no shell', () => {
  const image = describeImage(source('runtime();'));
  const root = unpack(image.archive(), 'image');
  const [manifest] = JSON.parse(readFileSync(join(root, 'manifest.json'), 'utf8')) as {
    Config: string;
    RepoTags: string[];
    Layers: string[];
  }[];
  expect(manifest!.RepoTags).toEqual([image.tag, image.currentTag]);
  const config = JSON.parse(readFileSync(join(root, manifest!.Config), 'utf8')) as {
    rootfs: { diff_ids: string[] };
  };
  const digests = manifest!.Layers.map(
    (layer) =>
      `sha256:${createHash('sha256')
        .update(readFileSync(join(root, layer)))
        .digest('hex')}`,
  );
  expect(config.rootfs.diff_ids).toEqual(digests);
  const inside = join(folder, 'root');
  for (const layer of manifest!.Layers) unpack([readFileSync(join(root, layer))], 'root');
  expect(readFileSync(join(inside, 'berth/runtime.cjs'), 'utf8')).toBe('runtime();');
  expect(statSync(join(inside, 'usr/bin/node')).size).toBe(statSync(process.execPath).size);
  expect(statSync(join(inside, 'tmp')).mode & 0o7777).toBe(0o1777);
  for (const path of ['bin/sh', 'usr/bin/sh', 'etc/shadow'])
    expect(existsSync(join(inside, path))).toBe(false);
}, 60_000);

test('a name that the format cannot hold is refused', () => {
  const entry = {
    path: 'x'.repeat(101),
    mode: 0o644,
    content: { kind: 'bytes', bytes: Buffer.alloc(1) },
  } as const;
  expect(() => [...tarArchive([entry])]).toThrow(RangeError);
});
