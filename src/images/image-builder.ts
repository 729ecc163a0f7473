/** What `berth image` does: makes sandbox images of the Node packages, on the engine that the configuration names. */
import type { Config } from '../config/settings.ts';
import {
  type FoundEngine,
  requireEngine,
  UnusableEngine,
  versionOf,
} from '../drivers/docker/docker-ground.ts';
import { listImages, type ListedImage, loadImage } from '../drivers/docker/engine-images.ts';
import { describeImage } from '../drivers/image/sandbox-image.ts';
import { buildRuntimeBundle } from '../modules/runtime-bundle.ts';

/** The engine cannot be used; the message says what to do. */
export class NoEngine extends Error {
  override readonly name = 'NoEngine';
}

export { nodePackages } from '../drivers/image/node-packages.ts';

export interface BuiltImage {
  readonly tag: string;
  readonly nodeVersion: string;
  /** False: the engine had the very same image already. */
  readonly isNew: boolean;
}

export interface ImageBuild {
  readonly config: Pick<Config, 'docker'>;
  readonly nodePath: string;
  /** For the bundle of the runtime. */
  readonly cacheDir: string;
}

/** Makes the current image of its major version. @throws NoEngine, RangeError when a library of Node is missing */
export async function buildImage({ config, nodePath, cacheDir }: ImageBuild): Promise<BuiltImage> {
  const { engine, architecture } = await engineOf(config);
  try {
    const nodeVersion = await versionOf(nodePath);
    const runtimeFile = await buildRuntimeBundle({ outDir: cacheDir });
    const image = describeImage({ nodePath, nodeVersion, runtimeFile, architecture });
    return { tag: image.tag, nodeVersion, isNew: await loadImage(engine, image) };
  } finally {
    engine.close();
  }
}

/** @throws NoEngine */
export async function sandboxImages(config: Pick<Config, 'docker'>): Promise<readonly ListedImage[]> {
  const { engine } = await engineOf(config);
  try {
    return await listImages(engine);
  } finally {
    engine.close();
  }
}

async function engineOf({ docker }: Pick<Config, 'docker'>): Promise<FoundEngine> {
  try {
    return await requireEngine(docker.host);
  } catch (error) {
    throw error instanceof UnusableEngine ? new NoEngine(error.message, { cause: error }) : error;
  }
}
