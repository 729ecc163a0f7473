/**
 * The socket on which one sandbox calls. It lies in a directory of its own, mode 0700, that the driver gives to the
 * sandbox's uid; it takes one connection, then it is closed and unlinked, so that nobody else can ever speak for the sandbox.
 */
import { mkdir } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { removeTree } from '../kernel/tree-removal.ts';

export interface ChannelListener {
  /** The one connection. Rejects when the listener is closed before. */
  readonly connection: Promise<Socket>;
  /** Stops listening and unlinks the socket; a connection that was taken lives on. Idempotent. */
  close(): void;
}

export type Listen = (dir: string) => Promise<ChannelListener>;

const SOCKET_NAME = 'channel.sock';
/** `sockaddr_un.sun_path` with its terminating zero: unix(7). */
const MAX_PATH_BYTES = 107;

/**
 * Makes `dir` (mode 0700) and listens in it.
 * @throws Error when the directory exists already, or its path is too long for a Unix socket
 */
export async function listenForSandbox(dir: string): Promise<ChannelListener> {
  const path = join(dir, SOCKET_NAME);
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw new Error(`the path of a socket in the run directory is longer than ${MAX_PATH_BYTES} bytes`);
  await mkdir(dir, { mode: 0o700 });
  const server = createServer();
  const connection = firstConnection(server);
  // Whether anybody waits for it or not, a listener that is closed unused is no failure of the process.
  connection.catch(() => undefined);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path, backlog: 1 }, resolve);
  });
  return { connection, close: () => void server.close() };
}

/** Removes what `listenForSandbox` made. @throws Error when that cannot be done, and it is nobody else's business */
export async function removeChannelDir(runDir: string, dir: string): Promise<void> {
  try {
    await removeTree(runDir, dir);
  } catch (error) {
    // The driver's supervisor has taken it over, and removes it.
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
  }
}

function firstConnection(server: Server): Promise<Socket> {
  return new Promise((resolve, reject) => {
    let isTaken = false;
    server.on('connection', (socket) => {
      if (isTaken) return void socket.destroy();
      isTaken = true;
      server.close();
      resolve(socket);
    });
    server.once('error', reject);
    server.once('close', () => reject(new Error('the listener was closed before a sandbox connected')));
  });
}
