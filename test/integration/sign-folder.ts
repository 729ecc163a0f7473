/** Signs between a test and code that blocks its thread: files, the one thing that both can still look at. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/platform.ts';

export class SignFolder {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async make(): Promise<SignFolder> {
    return new SignFolder(await mkdtemp(join(tmpdir(), 'berth-signs-')));
  }

  path(name: string): string {
    return join(this.#dir, name);
  }

  async give(name: string): Promise<void> {
    await writeFile(this.path(name), '');
  }

  /** Waits for the other side's sign. @throws after 15 s */
  async seen(name: string): Promise<void> {
    await eventually(() => {
      if (!existsSync(this.path(name))) throw new Error(`the sign "${name}" does not come`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true });
  }
}
