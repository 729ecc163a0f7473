/** Body bytes from a sandbox to their caller. */
import type { Writable } from 'node:stream';
import { RELEASE_FROM_BYTES, releaseWhole } from '../kernel/spent-memory.ts';

/** Writes `chunk` and releases its memory once the kernel has it. @returns false when the caller should wait for `drain` */
export function writeOut(target: Writable, chunk: Buffer): boolean {
  if (chunk.length < RELEASE_FROM_BYTES) return target.write(chunk);
  return target.write(chunk, (error) => {
    if (!error) releaseWhole(chunk);
  });
}
