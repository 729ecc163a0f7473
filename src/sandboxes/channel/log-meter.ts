/** How much log one sandbox may send: a bucket of bytes. What is over is dropped and counted; a flood slows its reading. */

const COUNT_AT_LEAST_BYTES = 64;

export class LogMeter {
  #bytesPerSecond: number;
  readonly #now: () => number;
  #available: number;
  #refilledAt: number;
  #droppedLines = 0;
  #droppedBytes = 0;

  /** @param now milliseconds, monotonic */
  constructor(bytesPerSecond: number, now: () => number) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#available = bytesPerSecond;
    this.#now = now;
    this.#refilledAt = now();
  }

  setRate(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** @returns whether a line of this size may pass; if not it is counted as dropped */
  admit(bytes: number): boolean {
    const counted = Math.max(bytes, COUNT_AT_LEAST_BYTES);
    this.#refill();
    const isAdmitted = this.#available > 0;
    this.#available -= counted;
    if (isAdmitted) return true;
    this.#droppedLines += 1;
    this.#droppedBytes += bytes;
    return false;
  }

  /** Lines that the runtime says it dropped itself; saying so costs as much as a short line. */
  addDropped(lines: number, bytes: number): void {
    this.#refill();
    this.#available -= COUNT_AT_LEAST_BYTES;
    this.#droppedLines += lines;
    this.#droppedBytes += bytes;
  }

  /** So deep in debt that the sandbox should not be read for a moment: dropping costs the host as well. */
  get isFlooded(): boolean {
    return this.#available < -2 * this.#bytesPerSecond;
  }

  get hasDropped(): boolean {
    return this.#droppedLines > 0;
  }

  /** What was dropped since the last call; null when nothing was. */
  takeDropped(): { lines: number; bytes: number } | null {
    if (this.#droppedLines === 0) return null;
    const dropped = { lines: this.#droppedLines, bytes: this.#droppedBytes };
    this.#droppedLines = 0;
    this.#droppedBytes = 0;
    return dropped;
  }

  #refill(): void {
    const now = this.#now();
    const gained = ((now - this.#refilledAt) / 1000) * this.#bytesPerSecond;
    this.#available = Math.min(
      this.#bytesPerSecond,
      Math.max(this.#available, -3 * this.#bytesPerSecond) + gained,
    );
    this.#refilledAt = now;
  }
}
