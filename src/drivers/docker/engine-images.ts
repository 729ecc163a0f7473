/** Sandbox images on an engine: loaded where they are missing, found by their tags and labels. */
import { Readable } from 'node:stream';
import { z } from 'zod';
import { currentTagOf, IMAGE_REPOSITORY, imageLabels, type SandboxImage } from '../image/sandbox-image.ts';
import { type EngineClient, isNotFound } from './engine-client.ts';

/** Some 130 MB go over the socket and onto the disk. */
const LOAD_MS = 180_000;

const inspectSchema = z.object({
  Id: z.string(),
  Config: z.object({ Labels: z.record(z.string(), z.string()).nullish() }).nullish(),
});
const listSchema = z.array(
  z.object({
    Id: z.string(),
    RepoTags: z.array(z.string()).nullish(),
    Size: z.number(),
    Labels: z.record(z.string(), z.string()).nullish(),
  }),
);
const loadProblem = /"error":"((?:[^"\\]|\\.)*)"/;

export interface FoundImage {
  readonly id: string;
  readonly nodeVersion: string;
  readonly runtime: string;
}

/** What an image says of how it is run. */
export interface ImageProgram {
  readonly id: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
}

export interface ListedImage {
  readonly id: string;
  readonly tags: readonly string[];
  readonly nodeVersion: string;
  readonly runtime: string;
  readonly sizeBytes: number;
  /** New sandboxes of its major version are made of it, after a rollout. */
  readonly isCurrent: boolean;
}

/** @returns null when the engine has no such image, or it is none of ours */
export async function findImage(engine: EngineClient, tag: string): Promise<FoundImage | null> {
  try {
    const answer = await engine.call({ method: 'GET', path: `/images/${tag}/json` });
    const { Id, Config } = inspectSchema.parse(answer);
    const labels = Config?.Labels ?? {};
    const nodeVersion = labels[imageLabels.node];
    if (nodeVersion === undefined) return null;
    return {
      id: Id,
      nodeVersion,
      runtime: labels[imageLabels.runtime] ?? '',
    };
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

const programSchema = z.object({
  Id: z.string(),
  Config: z
    .object({ Entrypoint: z.array(z.string()).nullish(), Cmd: z.array(z.string()).nullish() })
    .nullish(),
});

/** How somebody else's image is run. @returns null when the engine does not have it */
export async function findProgram(engine: EngineClient, image: string): Promise<ImageProgram | null> {
  try {
    const answer = await engine.call({ method: 'GET', path: `/images/${image}/json` });
    const { Id, Config } = programSchema.parse(answer);
    return { id: Id, entrypoint: Config?.Entrypoint ?? [], command: Config?.Cmd ?? [] };
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

/** What new sandboxes of a major version are made of: the image that was built last. */
export function findCurrentImage(engine: EngineClient, major: number): Promise<FoundImage | null> {
  return findImage(engine, currentTagOf(major));
}

/** Makes it the current one of its major version, loading it if need be. @returns whether it had to be loaded */
export async function loadImage(engine: EngineClient, image: SandboxImage): Promise<boolean> {
  const isThere = (await findImage(engine, image.tag)) !== null;
  if (!isThere) await load(engine, image);
  // Also of what was loaded with that tag: only so the engine keeps when it was.
  await tagAsCurrent(engine, image);
  return !isThere;
}

export async function listImages(engine: EngineClient): Promise<readonly ListedImage[]> {
  const filters = JSON.stringify({ label: [imageLabels.node] });
  const answer = await engine.call({ method: 'GET', path: '/images/json', query: { filters } });
  return listSchema.parse(answer).flatMap(({ Id, RepoTags, Size, Labels }) => {
    const nodeVersion = Labels?.[imageLabels.node];
    if (nodeVersion === undefined) return [];
    const tags = (RepoTags ?? []).filter((tag) => tag.startsWith(`${IMAGE_REPOSITORY}:`));
    const isCurrent = tags.some((tag) => tag.startsWith(`${IMAGE_REPOSITORY}:node`));
    const runtime = Labels?.[imageLabels.runtime] ?? '';
    return [{ id: Id, tags, nodeVersion, runtime, sizeBytes: Size, isCurrent }];
  });
}

async function tagAsCurrent(engine: EngineClient, { tag, currentTag }: SandboxImage): Promise<void> {
  const [repo = '', name = ''] = currentTag.split(':');
  await engine.call({ method: 'POST', path: `/images/${tag}/tag`, query: { repo, tag: name } });
}

/** The engine answers 200 before it has read the archive; what went wrong stands in the text. */
async function load(engine: EngineClient, { tag, archive }: SandboxImage): Promise<void> {
  const answer = await engine.call({
    method: 'POST',
    path: '/images/load',
    query: { quiet: '1' },
    body: Readable.from(archive()),
    deadlineMs: LOAD_MS,
  });
  const problem = loadProblem.exec(typeof answer === 'string' ? answer : JSON.stringify(answer))?.[1];
  if (problem !== undefined) throw new Error(`the image ${tag} was not loaded: ${problem}`);
}
