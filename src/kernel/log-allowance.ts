/** How much log may pass: a bucket of bytes, counted alike on both ends of a channel, and what did not pass. */

/** A short line costs as much as this. */
const COUNT_AT_LEAST_BYTES = 64;

export interface Dropped {
  readonly lines: number;
  readonly bytes: number;
}

export interface LogAllowanceOptions {
  readonly bytesPerSecond: number;
  /** milliseconds, monotonic */
  readonly now: () => number;
  /** What is refused counts as well, up to so many seconds of the rate: who floods is silent for as long. 0: it does not. */
  readonly debtSeconds: number;
}

export class LogAllowance {
  readonly #now: () => number;
  readonly #debtSeconds: number;
  #bytesPerSecond: number;
  #available: number;
  #refilledAt: number;
  #droppedLines = 0;
  #droppedBytes = 0;

  constructor({ bytesPerSecond, now, debtSeconds }: LogAllowanceOptions) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#available = bytesPerSecond;
    this.#now = now;
    this.#debtSeconds = debtSeconds;
    this.#refilledAt = now();
  }

  get hasDropped(): boolean {
    return this.#droppedLines > 0;
  }

  /** What was refused is more than so many seconds of the rate. */
  owes(seconds: number): boolean {
    return this.#available < -seconds * this.#bytesPerSecond;
  }

  /** From the next second on. */
  setRate(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** A whole second of it may pass at once. */
  fill(): void {
    this.#available = this.#bytesPerSecond;
  }

  /** @returns whether a line of this size may pass; if not it is counted as dropped */
  admit(bytes: number): boolean {
    this.#refill();
    const isAdmitted = this.#available > 0;
    if (isAdmitted || this.#debtSeconds > 0) this.#available -= Math.max(bytes, COUNT_AT_LEAST_BYTES);
    if (!isAdmitted) this.#drop(1, bytes);
    return isAdmitted;
  }

  /** Lines that were dropped elsewhere; saying so costs as much as a short line. */
  addDropped(lines: number, bytes: number): void {
    this.#refill();
    this.#available -= COUNT_AT_LEAST_BYTES;
    this.#drop(lines, bytes);
  }

  /** What was dropped since the last call; null when nothing was. */
  takeDropped(): Dropped | null {
    if (!this.hasDropped) return null;
    const dropped = { lines: this.#droppedLines, bytes: this.#droppedBytes };
    this.#droppedLines = 0;
    this.#droppedBytes = 0;
    return dropped;
  }

  #drop(lines: number, bytes: number): void {
    this.#droppedLines += lines;
    this.#droppedBytes += bytes;
  }

  #refill(): void {
    const now = this.#now();
    const gained = ((now - this.#refilledAt) / 1_000) * this.#bytesPerSecond;
    // Without a debt there is no more below zero than one line.
    const least = this.#debtSeconds > 0 ? -this.#debtSeconds * this.#bytesPerSecond : -Infinity;
    this.#available = Math.min(this.#bytesPerSecond, Math.max(this.#available, least) + gained);
    this.#refilledAt = now;
  }
}
