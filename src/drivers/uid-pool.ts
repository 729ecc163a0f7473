/**
 * Host uids for sandboxes. Several platforms may share a host, so uids are taken in blocks and a block is claimed by
 * listening on an abstract Unix socket: one owner on the host, and the kernel frees it when the owner dies, however.
 */
import { createServer } from 'node:net';

const BLOCK = 256;

export interface UidRange {
  readonly first: number;
  readonly count: number;
}

/** @returns how to give the claim back; null when another has it */
export type Claim = (name: string) => Promise<(() => void) | null>;

export class UidPool {
  readonly #range: UidRange;
  readonly #claim: Claim;
  readonly #inUse = new Set<number>();
  readonly #free: number[] = [];
  readonly #claims: (() => void)[] = [];
  #nextBlock: number;
  #growing: Promise<void> | null = null;

  constructor(range: UidRange, claim: Claim = claimAbstractSocket) {
    this.#range = range;
    this.#claim = claim;
    this.#nextBlock = range.first;
  }

  /** A uid that no living sandbox of any platform on this host has. @throws RangeError when the range is used up */
  async take(): Promise<number> {
    while (this.#free.length === 0) {
      this.#growing ??= this.#grow().finally(() => (this.#growing = null));
      await this.#growing;
    }
    const uid = this.#free.shift()!;
    this.#inUse.add(uid);
    return uid;
  }

  /** Released uids go to the end of the line: the longest unused one comes next. Idempotent. */
  release(uid: number): void {
    if (this.#inUse.delete(uid)) this.#free.push(uid);
  }

  close(): void {
    for (const unclaim of this.#claims.splice(0)) unclaim();
  }

  async #grow(): Promise<void> {
    const end = this.#range.first + this.#range.count;
    while (this.#nextBlock < end) {
      const first = this.#nextBlock;
      this.#nextBlock += BLOCK;
      const unclaim = await this.#claim(`berth-uids-${first}`);
      if (unclaim === null) continue;
      this.#claims.push(unclaim);
      for (let uid = first; uid < Math.min(first + BLOCK, end); uid += 1) this.#free.push(uid);
      return;
    }
    this.#nextBlock = this.#range.first;
    throw new RangeError(`all uids from ${this.#range.first} to ${end - 1} are in use`);
  }
}

/** man 7 unix: an abstract name lives as long as its socket, and leaves nothing in the file system. */
export const claimAbstractSocket: Claim = (name) =>
  new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(null) : reject(error),
    );
    server.listen(`\0${name}`, () => {
      server.unref();
      resolve(() => server.close());
    });
  });
