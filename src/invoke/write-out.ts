/** Body bytes from a sandbox to their caller. */
import type { Writable } from 'node:stream';
import { SMALL_PIECE_BYTES } from '../kernel/small-pieces.ts';
import { RELEASE_FROM_BYTES, releaseWhole } from '../kernel/spent-memory.ts';

export interface BodyOwner {
  /** So many bytes are passed on. */
  taken(bytes: number): void;
}

/**
 * Writes `chunk` and releases its memory once the kernel has it.
 * @param owner is told at once, of a small one when the kernel has it: so no crowd of them waits in the socket
 * @returns false when the caller should wait for `drain`; the owner is not told then
 */
export function writeOut(target: Writable, chunk: Buffer, owner: BodyOwner): boolean {
  const bytes = chunk.length;
  if (bytes < SMALL_PIECE_BYTES) {
    const hasRoom = target.write(chunk, () => {
      if (hasRoom) owner.taken(bytes);
    });
    return hasRoom;
  }
  const hasRoom = bytes < RELEASE_FROM_BYTES ? target.write(chunk) : writeAndRelease(target, chunk);
  if (hasRoom) owner.taken(bytes);
  return hasRoom;
}

function writeAndRelease(target: Writable, chunk: Buffer): boolean {
  return target.write(chunk, (error) => {
    if (!error) releaseWhole(chunk);
  });
}
