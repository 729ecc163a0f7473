/** Asks for `/healthz` and calls the victim while an attack goes on, as an operator's monitor and the victim's callers would. */
import { get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';

const EVERY_MS = 250;
/** Each answer comes within this, however busy the machine is that the attacks are run on. */
const ANSWERED_MS = 10_000;
/** A platform that an attack holds up is later than this every time. */
const MEDIAN_MS = 1_000;
const ENOUGH_FOR_MEDIAN = 4;
const VICTIM_PATH = '/run/victim/hello';

export interface WatchOptions {
  readonly url: string;
  /** Left out where the victim shall be idle. */
  readonly isVictimCalled: boolean;
}

export class ServiceWatch {
  readonly #options: WatchOptions;
  readonly #over = new AbortController();
  readonly #healthMs: number[] = [];
  readonly #failures: string[] = [];
  readonly #asking: Promise<void>;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#asking = this.#ask();
  }

  /** Fails where an answer was missing, wrong or late. */
  async stop(): Promise<void> {
    this.#over.abort();
    await this.#asking;
    expect(this.#failures, 'while the attack went on').toEqual([]);
    if (this.#healthMs.length < ENOUGH_FOR_MEDIAN) return;
    const median = this.#healthMs.toSorted((a, b) => a - b)[Math.floor(this.#healthMs.length / 2)]!;
    expect(median, 'milliseconds of /healthz while the attack went on').toBeLessThan(MEDIAN_MS);
  }

  async #ask(): Promise<void> {
    const { isVictimCalled } = this.#options;
    while (!this.#over.signal.aborted) {
      const victim = isVictimCalled ? this.#expect(VICTIM_PATH, /^\{"served":true\}$/) : null;
      const startedAt = performance.now();
      await this.#expect('/healthz', /./);
      this.#healthMs.push(performance.now() - startedAt);
      await victim;
      await delay(EVERY_MS, undefined, { signal: this.#over.signal }).catch(() => undefined);
    }
  }

  /** On a connection of its own, as who comes now. Never rejects. */
  async #expect(path: string, body: RegExp): Promise<void> {
    const seen = await answerOf(this.#options.url + path);
    if (seen.status !== 200 || !body.test(seen.text)) this.#failures.push(`${path}: ${JSON.stringify(seen)}`);
  }
}

function answerOf(url: string): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve) => {
    const failed = (error: Error): void => resolve({ status: 0, text: error.message });
    get(url, { agent: false, signal: AbortSignal.timeout(ANSWERED_MS) }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.once('error', failed).once('end', () => resolve({ status: response.statusCode ?? 0, text }));
    }).once('error', failed);
  });
}
