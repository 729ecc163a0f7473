/** The calls about volumes. */
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { z } from 'zod';
import { tarArchive, type TarEntry } from '../image/tar.ts';
import { type EngineClient, isNotFound } from './engine-client.ts';

/** Some 130 MB go over the socket and onto the disk. */
const FILL_MS = 120_000;
/** Below what the supervisor's line waits for an answer. */
const SIZES_MS = 50_000;
/** Where a volume is while it is filled. */
const FOLDER = 'content';
const REMOVE_CONTAINER = { force: 'true', v: 'false' };

const volumeSchema = z.object({ Name: z.string(), Labels: z.record(z.string(), z.string()).nullish() });
const sizesSchema = z.object({
  Volumes: z
    .array(z.object({ Name: z.string(), UsageData: z.object({ Size: z.number() }).nullish() }))
    .nullish(),
});
const listSchema = z.object({ Volumes: z.array(volumeSchema).nullish() });

export interface ListedVolume {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export class EngineVolumes {
  readonly #engine: EngineClient;

  constructor(engine: EngineClient) {
    this.#engine = engine;
  }

  /** One that is there already stays as it is. @returns the labels that it has */
  async ensure(name: string, labels: Readonly<Record<string, string>>): Promise<ListedVolume['labels']> {
    const answer = await this.#engine.call({
      method: 'POST',
      path: '/volumes/create',
      json: { Name: name, Labels: labels },
    });
    return volumeSchema.parse(answer).Labels ?? {};
  }

  async list(label: string): Promise<readonly ListedVolume[]> {
    const query = { filters: JSON.stringify({ label: [label] }) };
    const answer = await this.#engine.call({ method: 'GET', path: '/volumes', query });
    return (listSchema.parse(answer).Volumes ?? []).map(({ Name, Labels }) => ({
      name: Name,
      labels: Labels ?? {},
    }));
  }

  /** By name, in bytes; the engine looks through all that it has. Those that it cannot tell are left out. */
  async sizes(): Promise<ReadonlyMap<string, number>> {
    // Engines before 23 (API 1.42) know no types, and answer with all.
    const query = { type: 'volume' };
    const answer = await this.#engine.call({
      method: 'GET',
      path: '/system/df',
      query,
      deadlineMs: SIZES_MS,
    });
    const sized = (sizesSchema.parse(answer).Volumes ?? []).flatMap(({ Name, UsageData }) =>
      UsageData === undefined || UsageData === null || UsageData.Size < 0
        ? []
        : [[Name, UsageData.Size] as const],
    );
    return new Map(sized);
  }

  /** Idempotent. @throws EngineError when a container has it */
  async remove(name: string): Promise<void> {
    try {
      await this.#engine.call({ method: 'DELETE', path: `/volumes/${name}` });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /**
   * Puts files into a volume, over those that are there: through a container of `image` that has it and never runs.
   * @param labels of the container: one that is left over is found by them
   * @param entriesBelow the folder that stands for the volume; an entry for the folder itself sets owner and mode
   */
  async fill(
    volume: string,
    { image, labels }: { readonly image: string; readonly labels: Readonly<Record<string, string>> },
    entriesBelow: (folder: string) => readonly TarEntry[],
  ): Promise<void> {
    const name = `berth-fill-${randomBytes(8).toString('hex')}`;
    const Mounts = [{ Type: 'volume', Source: volume, Target: `/volume/${FOLDER}` }];
    await this.#engine.call({
      method: 'POST',
      path: '/containers/create',
      query: { name },
      json: {
        Image: image,
        Labels: labels,
        NetworkDisabled: true,
        HostConfig: { NetworkMode: 'none', Mounts },
      },
    });
    try {
      await this.#engine.call({
        method: 'PUT',
        path: `/containers/${name}/archive`,
        query: { path: '/volume' },
        body: Readable.from(tarArchive(entriesBelow(FOLDER))),
        deadlineMs: FILL_MS,
      });
    } finally {
      await this.#engine.call({ method: 'DELETE', path: `/containers/${name}`, query: REMOVE_CONTAINER });
    }
  }
}
