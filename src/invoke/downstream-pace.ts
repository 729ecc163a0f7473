/** Whether a caller takes what is sent to it: the bytes held back for it, and whether they become fewer. */
import type { Socket } from 'node:net';

export class DownstreamPace {
  #heldBytes = 0;
  #isListening = false;
  /** at the last look; null: not looked yet */
  #queuedBytes: number | null = null;

  /** The socket is full: these bytes count as consumed when it has drained. @returns true the first time */
  hold(bytes: number, socket: Socket | null): boolean {
    this.#heldBytes += bytes;
    this.#queuedBytes = queuedBytes(socket);
    const isFirst = !this.#isListening;
    this.#isListening = true;
    return isFirst;
  }

  /** @returns bytes that were held */
  release(): number {
    const bytes = this.#heldBytes;
    this.#heldBytes = 0;
    return bytes;
  }

  /** True when at least `leastBytes` have left since the last look: a slow reader, not a dead one. */
  hasMoved(socket: Socket | null, leastBytes: number): boolean {
    const before = this.#queuedBytes;
    const present = queuedBytes(socket);
    this.#queuedBytes = present;
    return before === null ? present > 0 : before - present >= leastBytes;
  }
}

/**
 * Bytes that the kernel has not taken yet. `writableLength` falls only when a whole batch has gone; libuv's own count falls
 * with each byte. Node's socket timeouts read the same field (net.js, `_onTimeout`).
 */
function queuedBytes(socket: Socket | null): number {
  const handle = (socket as { _handle?: { writeQueueSize?: number } | null } | null)?._handle;
  return handle?.writeQueueSize ?? 0;
}
