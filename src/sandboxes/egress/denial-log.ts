/** Tells a tenant's log what was refused, without letting a scan of ports flood it. */
import type { Clock } from '../../kernel/clock.ts';

const SECOND_MS = 1_000;
const LINES_PER_SECOND = 10;

export class DenialLog {
  readonly #warn: (text: string) => void;
  readonly #clock: Pick<Clock, 'monotonic' | 'after'>;
  #second = -SECOND_MS;
  #lines = 0;
  #untold = 0;

  constructor(warn: (text: string) => void, clock: Pick<Clock, 'monotonic' | 'after'>) {
    this.#warn = warn;
    this.#clock = clock;
  }

  /** @param text made only where it is told */
  add(text: () => string): void {
    const now = this.#clock.monotonic();
    if (now - this.#second >= SECOND_MS) {
      this.#second = now;
      this.#lines = 0;
    }
    this.#lines += 1;
    if (this.#lines <= LINES_PER_SECOND) return this.#warn(text());
    if (this.#untold === 0) this.#clock.after(SECOND_MS, () => this.#tell());
    this.#untold += 1;
  }

  #tell(): void {
    this.#warn(`egress: ${this.#untold} more refusals in the last second`);
    this.#untold = 0;
  }
}
