/** Tells a tenant's log what was refused, without letting a scan of ports flood it. */

const SECOND_MS = 1_000;
const LINES_PER_SECOND = 10;

export class DenialLog {
  readonly #warn: (text: string) => void;
  readonly #now: () => number;
  #second = -SECOND_MS;
  #lines = 0;
  #untold = 0;

  /** @param now milliseconds, monotonic */
  constructor(warn: (text: string) => void, now: () => number) {
    this.#warn = warn;
    this.#now = now;
  }

  add(text: string): void {
    const now = this.#now();
    if (now - this.#second >= SECOND_MS) {
      this.#second = now;
      this.#lines = 0;
      this.tell();
    }
    if (this.#lines >= LINES_PER_SECOND) {
      this.#untold += 1;
      return;
    }
    this.#lines += 1;
    this.#warn(text);
  }

  /** Says how many were not told. */
  tell(): void {
    if (this.#untold > 0) this.#warn(`egress: ${this.#untold} more refusals in the last second`);
    this.#untold = 0;
  }
}
