/**
 * What the small frames of a tenant's sandboxes cost the host, all of them together: connections that are refused, bytes one
 * by one, log lines that are dropped. Whoever runs fifty sandboxes has no more of the host's time for them than who runs one.
 */

/** A few hundredths of one CPU, and more than code sends that has something to say. */
export const FRAMES_PER_SECOND = 50_000;
/** What a refusal costs the host beside the frame that it answers: in words, with all that is told of it, and unseen. */
export const REFUSAL_FRAMES = 40;
export const UNSEEN_REFUSAL_FRAMES = 2;
/** As much as this may come at once. */
const BURST_MS = 1_000;
const FRAMES_PER_MS = FRAMES_PER_SECOND / 1_000;

export class FramePace {
  /** Up to when the frames that came take the tenant's share of time, monotonic. */
  #until = Number.NEGATIVE_INFINITY;

  /** @param now milliseconds, monotonic. @returns milliseconds after which so many may come again */
  charge(frames: number, now: number): number {
    this.#until = Math.max(this.#until, now - BURST_MS) + frames / FRAMES_PER_MS;
    return this.owedMs(now);
  }

  owedMs(now: number): number {
    return Math.max(0, this.#until - now);
  }
}
