/**
 * Gives the memory of body bytes back as soon as they have been passed on. The garbage collector would let some
 * 64 MiB of them pile up first, whatever the number of streams (V8's limit of growth in external memory), and one busy
 * stream would look like a leak. A released buffer has the length 0: who wrongly still holds it reads nothing.
 * `ArrayBuffer.prototype.transfer`: ECMA-262, 25.1.6.8.
 */
import { isMarkedAsUntransferable } from 'node:worker_threads';

/** Below this, collecting is cheap. */
export const RELEASE_FROM_BYTES = 16 * 1024;

/** Releases what fills memory of its own; a part of something larger is left alone. */
export function releaseWhole(bytes: Uint8Array): void {
  if (bytes.byteOffset === 0) releaseLast(bytes);
}

/**
 * For who passes on all pieces of one buffer in their order: with the last piece the buffer is released.
 * The pieces before it must have been passed on, and nobody else may use the buffer.
 */
export function releaseLast(bytes: Uint8Array): void {
  const memory = bytes.buffer;
  if (!(memory instanceof ArrayBuffer) || memory.byteLength < RELEASE_FROM_BYTES) return;
  if (bytes.byteOffset + bytes.byteLength < memory.byteLength) return;
  // Node shares one out among small buffers (`Buffer.poolSize`), and marks it so.
  if (!isMarkedAsUntransferable(memory)) memory.transfer(0);
}
