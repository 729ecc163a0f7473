/**
 * The folder `<run>/channels`, in which the server makes one directory for each sandbox and listens in it. The server may
 * be compromised, and what the supervisor does to files it does as root: so it first takes a directory over, through a
 * descriptor and without following links, and only then looks what is in it. From then on nobody else can change it.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  type Stats,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import type { SandboxId } from '../contracts/ids.ts';

const SOCKET_NAME = 'channel.sock';
const OWN_MODE = 0o700;
const SOCKET_MODE = 0o600;
/** The server's group may add; the sticky bit (man 7 inode) keeps what belongs to root where it is; others may pass. */
const SHARED_MODE = 0o1731;
const PASS_MODE = 0o711;

/** What was found is not what an honest server makes. */
export class HostileChannel extends Error {
  override readonly name = 'HostileChannel';
}

export interface ChannelFolderOptions {
  readonly runDir: string;
  /** The server's user and group; the supervisor's own where it is not root. */
  readonly serverUid: number;
}

export class ChannelFolder {
  readonly path: string;
  readonly #serverUid: number;
  readonly #ownUid = process.geteuid!();
  readonly #ownGid = process.getegid!();

  /** Makes the folder. Only the supervisor may write in `runDir`. */
  constructor({ runDir, serverUid }: ChannelFolderOptions) {
    this.path = join(runDir, 'channels');
    this.#serverUid = serverUid;
    mkdirSync(this.path, { recursive: true, mode: PASS_MODE });
    if (serverUid !== this.#ownUid) chownSync(this.path, this.#ownUid, serverUid);
    chmodSync(this.path, serverUid === this.#ownUid ? PASS_MODE : SHARED_MODE);
  }

  /** The one directory that a sandbox may have. */
  pathOf(id: SandboxId): string {
    return join(this.path, id);
  }

  /** Takes the directory of a sandbox over, and the socket on which the server listens in it. @throws HostileChannel */
  claim(id: SandboxId): void {
    const path = this.pathOf(id);
    const names = this.#seize(path);
    if (names.length !== 1 || names[0] !== SOCKET_NAME)
      throw new HostileChannel(`the channel directory of ${id} holds other things than its socket`);
    const socket = join(path, SOCKET_NAME);
    const found = lstatSync(socket);
    if (!found.isSocket() || found.nlink !== 1 || found.uid !== this.#serverUid)
      throw new HostileChannel(
        `what is called ${SOCKET_NAME} in the directory of ${id} is no socket of the server`,
      );
    lchownSync(socket, this.#ownUid, this.#ownGid);
    chmodSync(socket, SOCKET_MODE);
  }

  /** Removes the directory of a sandbox that has ended. One that is not there is fine. */
  remove(id: SandboxId): void {
    const path = this.pathOf(id);
    if (isThere(path)) this.#clear(path);
  }

  /** Removes what a server that has ended left behind. @returns what could not be removed, each with the reason */
  sweep(): readonly string[] {
    return readdirSync(this.path).flatMap((name) => {
      try {
        const path = join(this.path, name);
        if (lstatSync(path).isDirectory()) this.#clear(path);
        else unlinkSync(path);
        return [];
      } catch (error) {
        return [`${name}: ${String(error)}`];
      }
    });
  }

  /** Removes the folder when it is empty. @returns whether it was */
  close(): boolean {
    if (this.sweep().length > 0) return false;
    rmdirSync(this.path);
    return true;
  }

  /** One level deep: an honest server makes no more, and descending into what another may change is a race. */
  #clear(path: string): void {
    for (const name of this.#seize(path)) unlinkSync(join(path, name));
    rmdirSync(path);
  }

  /** From here on the directory is the supervisor's alone. @returns what is in it */
  #seize(path: string): readonly string[] {
    let seized: Stats;
    const fd = openDirectory(path);
    try {
      const found = fstatSync(fd);
      if (found.uid !== this.#serverUid && found.uid !== this.#ownUid)
        throw new HostileChannel(`${path} belongs to somebody else`);
      fchownSync(fd, this.#ownUid, this.#ownGid);
      fchmodSync(fd, OWN_MODE);
      seized = found;
    } finally {
      closeSync(fd);
    }
    // It was renamed in between: another one has its name now. It cannot be any more.
    const named = lstatSync(path);
    if (named.ino !== seized.ino || named.dev !== seized.dev)
      throw new HostileChannel(`${path} was changed for another`);
    return readdirSync(path);
  }
}

function openDirectory(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    throw new HostileChannel(`${path} is no directory`, { cause: error });
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
