/** Sandbox images on a real engine: what a rollout leaves behind. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requireEngine } from '../../src/drivers/docker/docker-ground.ts';
import type { EngineClient } from '../../src/drivers/docker/engine-client.ts';
import { listImages, loadImage } from '../../src/drivers/docker/engine-images.ts';
import { pruneImages } from '../../src/drivers/docker/image-pruning.ts';
import { describeImage, majorOf, type SandboxImage } from '../../src/drivers/image/sandbox-image.ts';
import { engineHost, reasonToSkipDocker } from './docker-engine.ts';

const reason = await reasonToSkipDocker('runc');
/** A major version that no platform of this engine has. */
const MAJOR = 900;

describe.skipIf(reason !== null)('old images', () => {
  let engine: EngineClient;
  let folder: string;
  const images: SandboxImage[] = [];
  const own = async (): Promise<string[]> =>
    (await listImages(engine))
      .filter(({ nodeVersion }) => majorOf(nodeVersion) === MAJOR)
      .flatMap(({ tags }) => tags)
      .sort();

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'berth-images-'));
    const found = await requireEngine(engineHost);
    engine = found.engine;
    for (let patch = 1; patch <= 4; patch++) {
      const runtimeFile = join(folder, `runtime-${patch}.cjs`);
      writeFileSync(runtimeFile, `// ${patch}`);
      const nodeVersion = `${MAJOR}.0.${patch}`;
      const source = { nodePath: process.execPath, nodeVersion, runtimeFile };
      images.push(describeImage({ ...source, architecture: found.architecture }));
    }
  }, 120_000);
  afterAll(async () => {
    for (const tag of await own()) await engine.call({ method: 'DELETE', path: `/images/${tag}` });
    engine.close();
    rmSync(folder, { recursive: true });
  });

  it('go when two newer ones are there, unless a container has them', { timeout: 240_000 }, async () => {
    const [first, second, third, fourth] = images;
    await loadImage(engine, first!);
    await loadImage(engine, second!);
    expect(await pruneImages(engine)).not.toContain(first!.tag);
    const name = `berth-images-${process.pid}`;
    const json = { Image: first!.tag, NetworkDisabled: true };
    await engine.call({ method: 'POST', path: '/containers/create', query: { name }, json });
    await loadImage(engine, third!);
    expect(await pruneImages(engine)).not.toContain(first!.tag);
    expect(await own()).toEqual([first!.tag, second!.tag, third!.tag, third!.currentTag].sort());
    await engine.call({ method: 'DELETE', path: `/containers/${name}` });
    await loadImage(engine, fourth!);
    expect((await pruneImages(engine)).toSorted()).toEqual([first!.tag, second!.tag].sort());
    expect(await own()).toEqual([third!.tag, fourth!.tag, fourth!.currentTag].sort());
    // Back to the one before: it is the current one again, and stays.
    await loadImage(engine, third!);
    expect(await pruneImages(engine)).toEqual([]);
    expect(await own()).toEqual([third!.tag, fourth!.tag, third!.currentTag].sort());
  });
});
