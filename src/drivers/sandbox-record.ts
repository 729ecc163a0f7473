/**
 * What is written down about each sandbox, so that the next platform on the same run directory can remove what a killed
 * one left over. Written before anything is made, and again when the process is known.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { asSandboxId, type SandboxId } from '../contracts/ids.ts';
import { isAlive, isMissing } from './process-identity.ts';

const identitySchema = z.object({ pid: z.int().min(2), startTicks: z.string().regex(/^\d{1,20}$/) });

const recordSchema = z.object({
  version: z.literal(1),
  id: z.string().transform((text) => asSandboxId(text)),
  /** The platform that made it: as long as it lives, the sandbox is its business. */
  platform: identitySchema,
  /** The outermost process of the sandbox. */
  process: identitySchema.nullable(),
  channelDir: z.string(),
  cgroups: z.array(z.string()),
  /** Where a driver without mounts keeps the sandbox's files. */
  tmpDir: z.string().nullable(),
});
export type SandboxRecord = z.infer<typeof recordSchema>;

/** A record that is being written: `<id>.<pid>-<start>.new` names the platform that writes it. */
const UNFINISHED = /\.(\d+)-(\d+)\.new$/;

export class SandboxRecords {
  readonly #dir: string;

  constructor(runDir: string) {
    this.#dir = join(runDir, 'records');
  }

  async prepare(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
  }

  async write(record: SandboxRecord): Promise<void> {
    const { pid, startTicks } = record.platform;
    const unfinished = join(this.#dir, `${record.id}.${pid}-${startTicks}.new`);
    await writeFile(unfinished, JSON.stringify(record), { mode: 0o600 });
    await rename(unfinished, this.#path(record.id));
  }

  async remove(id: SandboxId): Promise<void> {
    await rm(this.#path(id), { force: true });
  }

  /** Every record that can be read; `onBroken` hears of the others, which are removed: damaged, or not ours. */
  async list(onBroken: (name: string, error: unknown) => void): Promise<SandboxRecord[]> {
    const records: SandboxRecord[] = [];
    for (const name of await this.#names('.json')) {
      const path = join(this.#dir, name);
      try {
        records.push(recordSchema.parse(JSON.parse(await readFile(path, 'utf8'))));
      } catch (error) {
        if (isMissing(error)) continue;
        onBroken(name, error);
        await rm(path, { force: true });
      }
    }
    return records;
  }

  /** Removes what platforms that were killed did not finish writing: what stands in it was not made yet, or is on record. */
  async removeUnfinished(): Promise<void> {
    for (const name of await this.#names('.new')) {
      const [, pid, startTicks] = UNFINISHED.exec(name) ?? [];
      const isBeingWritten = startTicks !== undefined && isAlive({ pid: Number(pid), startTicks });
      if (!isBeingWritten) await rm(join(this.#dir, name), { force: true });
    }
  }

  /** Removes the directory of records when no record is left in it. */
  async close(): Promise<void> {
    if ((await this.#names('.json')).length === 0) await rm(this.#dir, { recursive: true, force: true });
  }

  async #names(ending: '.json' | '.new'): Promise<string[]> {
    try {
      return (await readdir(this.#dir)).filter((name) => name.endsWith(ending));
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  #path(id: SandboxId): string {
    return join(this.#dir, `${id}.json`);
  }
}
