/** Large bodies over a plain socket, so that the client costs as little as it can; the same for each side. */
import { once } from 'node:events';
import net from 'node:net';

const TRANSFER_MS = 120_000;
const CHUNK = Buffer.alloc(64 * 1024, 'x');
const READ_BYTES = 256 * 1024;
const MAX_HEAD_BYTES = 16 * 1024;

export interface Transfer {
  readonly port: number;
  readonly path: string;
  readonly bytes: number;
}

/** Reads a body of that size. @throws Error when it is cut off */
export async function download({ port, path, bytes }: Transfer): Promise<void> {
  const exchange = open(port);
  exchange.socket.write(`GET ${path}?bytes=${bytes} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n`);
  const { received } = await exchange.ended;
  if (received < bytes) throw new Error(`${received} bytes came instead of ${bytes}`);
}

/** Sends a body of that size. @throws Error when it is not answered with its length */
export async function upload({ port, path, bytes }: Transfer): Promise<void> {
  const { socket, ended } = open(port);
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Length: ${bytes}\r\n\r\n`,
  );
  for (let left = bytes; left > 0; left -= CHUNK.length)
    if (!socket.write(left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK))
      await once(socket, 'drain', { signal: AbortSignal.timeout(TRANSFER_MS) });
  const { head } = await ended;
  if (!head.includes(String(bytes), head.indexOf('\r\n\r\n'))) throw new Error(`not taken: ${head}`);
}

interface Received {
  readonly received: number;
  /** the beginning of what came */
  readonly head: string;
}

function open(port: number): { readonly socket: net.Socket; readonly ended: Promise<Received> } {
  let received = 0;
  let head = '';
  const buffer = Buffer.alloc(READ_BYTES);
  const callback = (bytes: number): boolean => {
    received += bytes;
    if (head.length < MAX_HEAD_BYTES) head += buffer.toString('latin1', 0, Math.min(bytes, MAX_HEAD_BYTES));
    return true;
  };
  const socket = net.connect({ port, host: '127.0.0.1', onread: { buffer, callback } });
  socket.setTimeout(TRANSFER_MS, () => socket.destroy(new Error('no byte came or went for too long')));
  const ended = once(socket, 'close').then(() => ({ received, head }));
  return { socket, ended };
}
