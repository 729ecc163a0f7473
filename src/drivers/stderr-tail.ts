/**
 * Reads what a sandbox writes to descriptor 2: keeps the last 4 KiB, notices V8's last words, and reads at most 64 KiB
 * per pause, so that a flood blocks the sandbox and does not burn the host's CPU.
 */
import type { Readable } from 'node:stream';

const TAIL_BYTES = 4096;
const BURST_BYTES = 64 * 1024;
const PAUSE_MS = 50;
/** Printed by V8 when it gives up for lack of heap; may be cut by a chunk's end, hence searched in the joined tail. */
const HEAP_EXHAUSTED = /heap out of memory|Fatal JavaScript invalid size error|process out of memory/;

export class StderrTail {
  readonly #stream: Readable;
  readonly #ended: Promise<void>;
  #tail: Buffer = Buffer.alloc(0);
  #burst = 0;
  #isThrottled = true;
  #timer: NodeJS.Timeout | null = null;
  #sawHeapExhausted = false;

  constructor(stream: Readable) {
    this.#stream = stream;
    stream.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#ended = new Promise((resolve) => {
      // A read error means the same as the end: nothing more will come.
      stream.once('error', () => resolve());
      stream.once('close', resolve);
    });
  }

  /** Hostile text. */
  get text(): string {
    return this.#tail.toString('utf8');
  }

  get sawHeapExhausted(): boolean {
    return this.#sawHeapExhausted;
  }

  /** The writers are gone: takes what the pipe still holds (bounded by the kernel), for at most `deadlineMs`. */
  async finish(deadlineMs: number): Promise<void> {
    this.#isThrottled = false;
    this.#stream.resume();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, deadlineMs)));
    await Promise.race([this.#ended, late]);
    clearTimeout(timer);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#stream.destroy();
  }

  #take(chunk: Buffer): void {
    const joined = Buffer.concat([this.#tail, chunk]);
    if (!this.#sawHeapExhausted) this.#sawHeapExhausted = HEAP_EXHAUSTED.test(joined.toString('latin1'));
    this.#tail = Buffer.from(joined.subarray(Math.max(0, joined.length - TAIL_BYTES)));
    this.#burst += chunk.length;
    if (this.#isThrottled && this.#burst >= BURST_BYTES) this.#pause();
  }

  #pause(): void {
    this.#stream.pause();
    this.#timer = setTimeout(() => {
      this.#burst = 0;
      this.#timer = null;
      this.#stream.resume();
    }, PAUSE_MS);
    this.#timer.unref();
  }
}
