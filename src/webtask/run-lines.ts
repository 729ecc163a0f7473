/**
 * The platform's lines in a container's log stream: "new webtask request …", "finished webtask request …".
 * They exist only while somebody reads the stream, so that a request costs nothing otherwise.
 */
import type { ServerResponse } from 'node:http';
import type { Clock } from '../kernel/clock.ts';

export type RunLineListener = (message: string) => void;

export class RunLines {
  readonly #clock: Clock;
  readonly #listeners = new Map<string, Set<RunLineListener>>();
  #sequence = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @returns a function that ends it */
  listen(container: string, listener: RunLineListener): () => void {
    const listeners = this.#listeners.get(container) ?? new Set();
    this.#listeners.set(container, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(container) === listeners)
        this.#listeners.delete(container);
    };
  }

  /** A request for code of this container begins; its end is told when the response is over. */
  watch(container: string, response: ServerResponse): void {
    if (!this.#listeners.has(container)) return;
    const id = this.#nextId();
    const start = this.#clock.monotonic();
    this.#tell(container, `new webtask request ${id}`);
    response.once('close', () => {
      const took = Math.round(this.#clock.monotonic() - start);
      const end = response.writableFinished ? `with HTTP ${response.statusCode}` : 'without a whole response';
      this.#tell(container, `finished webtask request ${id} ${end} in ${took}ms`);
    });
  }

  #tell(container: string, message: string): void {
    for (const listener of this.#listeners.get(container) ?? []) listener(message);
  }

  #nextId(): string {
    this.#sequence = (this.#sequence + 1) % 1_000_000;
    return `${this.#clock.now()}.${String(this.#sequence).padStart(6, '0')}`;
  }
}
