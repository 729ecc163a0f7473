/** Which process is the server, written down, so that the next supervisor can end one that outlived its own. */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import {
  identityOf,
  isAlive,
  isMissing,
  type ProcessIdentity,
  signalProcess,
} from '../drivers/process-identity.ts';

/** A server that notices that its supervisor is gone ends by itself. */
const LEAVE_MS = 2_000;
const KILL_MS = 2_000;
const LOOK_MS = 20;

const identitySchema = z.object({ pid: z.int().min(2), startTicks: z.string().regex(/^\d{1,20}$/) });

export class ServerRecord {
  readonly #path: string;

  /** Only the supervisor may write in `runDir`. */
  constructor(runDir: string) {
    this.#path = join(runDir, 'server.json');
  }

  async write(pid: number): Promise<void> {
    const identity = identityOf(pid);
    if (identity === null) return;
    await writeFile(`${this.#path}.new`, JSON.stringify(identity), { mode: 0o600 });
    await rename(`${this.#path}.new`, this.#path);
  }

  /** Waits until the server of a supervisor that was killed has ended, and kills it when it does not. @throws Error when it lives on */
  async endLeftover(): Promise<void> {
    const server = await this.#read();
    if (server === null) return;
    if (!(await hasEnded(server, LEAVE_MS))) {
      signalProcess(server, 'SIGKILL');
      if (!(await hasEnded(server, KILL_MS)))
        throw new Error(`the server ${server.pid} of an earlier start does not end`);
    }
    await rm(this.#path, { force: true });
  }

  async #read(): Promise<ProcessIdentity | null> {
    try {
      return identitySchema.parse(JSON.parse(await readFile(this.#path, 'utf8')));
    } catch (error) {
      if (isMissing(error)) return null;
      throw new Error(`${this.#path} is damaged; remove it when no server runs`, { cause: error });
    }
  }
}

async function hasEnded(server: ProcessIdentity, ms: number): Promise<boolean> {
  const end = performance.now() + ms;
  while (isAlive(server)) {
    if (performance.now() > end) return false;
    await sleep(LOOK_MS);
  }
  return true;
}
