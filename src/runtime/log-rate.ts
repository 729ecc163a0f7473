/** How much log the runtime sends: a bucket of bytes, counted as the host counts, so that a flood stops here already. */

/** A short line costs the host as much as this. */
const COUNT_AT_LEAST_BYTES = 64;

export class LogRate {
  readonly #now: () => number;
  #bytesPerSecond: number;
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
    this.#available = bytesPerSecond;
  }

  /** @returns whether a line of this size may go out; if not it is counted */
  admit(bytes: number): boolean {
    const now = this.#now();
    const gained = ((now - this.#refilledAt) / 1_000) * this.#bytesPerSecond;
    this.#available = Math.min(this.#bytesPerSecond, this.#available + gained);
    this.#refilledAt = now;
    if (this.#available <= 0) {
      this.#droppedLines++;
      this.#droppedBytes += bytes;
      return false;
    }
    this.#available -= Math.max(bytes, COUNT_AT_LEAST_BYTES);
    return true;
  }

  /** What was dropped since the last call; null when nothing was. */
  takeDropped(): { lines: number; bytes: number } | null {
    if (this.#droppedLines === 0) return null;
    const dropped = { lines: this.#droppedLines, bytes: this.#droppedBytes };
    this.#droppedLines = 0;
    this.#droppedBytes = 0;
    return dropped;
  }
}
