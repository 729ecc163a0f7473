/** Old sandbox images of an engine: each patch of Node leaves some 130 MB behind, until nobody needs it any more. */
import { z } from 'zod';
import { majorOf } from '../image/sandbox-image.ts';
import { type EngineClient, isNotFound, isStateConflict } from './engine-client.ts';
import { listImages, type ListedImage } from './engine-images.ts';

/** Of each major version: the current one, and the one before, to go back to. */
const KEPT = 2;

const tagTimeSchema = z.object({ Metadata: z.object({ LastTagTime: z.string() }) });
const containersSchema = z.array(z.object({ ImageID: z.string() }));

/**
 * Removes images of ours but the current one of each major version, the one that was made before it, and those that a
 * container has, whoever's. @returns tags that were removed
 */
export async function pruneImages(engine: EngineClient): Promise<readonly string[]> {
  const images = await listImages(engine);
  const times = new Map<string, number>();
  for (const { id } of images) times.set(id, await tagTimeOf(engine, id));
  const inUse = await usedImages(engine);
  const byMajor = Map.groupBy(images, ({ nodeVersion }) => majorOf(nodeVersion));
  const stale = [...byMajor.values()].flatMap((own) => newestFirst(own, times).slice(KEPT));
  const removed: string[] = [];
  for (const { id, tags } of stale)
    if (!inUse.has(id)) for (const tag of tags) if (await removeTag(engine, tag)) removed.push(tag);
  return removed;
}

/** By when they were loaded: their own time of creation is always the same. */
function newestFirst(
  images: readonly ListedImage[],
  times: ReadonlyMap<string, number>,
): readonly ListedImage[] {
  const rank = ({ id, isCurrent }: ListedImage): number => (isCurrent ? Infinity : times.get(id)!);
  return images.toSorted((a, b) => (rank(a) < rank(b) ? 1 : -1));
}

/** The image's own record may be gone by now, by another's hand. */
async function tagTimeOf(engine: EngineClient, id: string): Promise<number> {
  try {
    const answer = await engine.call({ method: 'GET', path: `/images/${id}/json` });
    return Date.parse(tagTimeSchema.parse(answer).Metadata.LastTagTime);
  } catch (error) {
    if (isNotFound(error)) return 0;
    throw error;
  }
}

async function usedImages(engine: EngineClient): Promise<ReadonlySet<string>> {
  const query = { all: 'true' };
  const answer = await engine.call({ method: 'GET', path: '/containers/json', query });
  return new Set(containersSchema.parse(answer).map(({ ImageID }) => ImageID));
}

/** Not by force: where a container was made of it meanwhile, the engine keeps it. */
async function removeTag(engine: EngineClient, tag: string): Promise<boolean> {
  try {
    await engine.call({ method: 'DELETE', path: `/images/${tag}` });
    return true;
  } catch (error) {
    if (isNotFound(error) || isStateConflict(error)) return false;
    throw error;
  }
}
