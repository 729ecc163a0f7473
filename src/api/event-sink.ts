/** The writing end of a live answer: one write an event, back-pressure with a deadline, over when the reader leaves. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { EventSink } from './route.ts';

export class ResponseSink implements EventSink {
  readonly #response: ServerResponse;
  readonly #gone = new AbortController();
  readonly #writeMs: number;
  readonly signal: AbortSignal;

  constructor(
    response: ServerResponse,
    { writeMs, closing }: { readonly writeMs: number; readonly closing: AbortSignal },
  ) {
    this.#response = response;
    this.#writeMs = writeMs;
    this.signal = AbortSignal.any([this.#gone.signal, closing]);
    response.once('close', () => this.#gone.abort());
    response.on('error', () => this.#gone.abort());
  }

  open(headers: Readonly<Record<string, string>>): void {
    this.#response.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
  }

  async send(text: string): Promise<void> {
    this.signal.throwIfAborted();
    if (this.#response.write(text)) return;
    const deadline = AbortSignal.timeout(this.#writeMs);
    try {
      await once(this.#response, 'drain', { signal: AbortSignal.any([this.signal, deadline]) });
    } catch (error) {
      // Half an event may be on its way: nothing sensible can follow.
      this.#response.destroy();
      throw error;
    }
  }

  end(): void {
    if (!this.#response.writableEnded) this.#response.end();
  }
}

/** How many live answers each owner has open. */
export class StreamPlaces {
  readonly #open = new Map<string, number>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** @returns what gives the place back; null when all are taken */
  take(owner: string): (() => void) | null {
    const open = this.#open.get(owner) ?? 0;
    if (open >= this.#max) return null;
    this.#open.set(owner, open + 1);
    return () => this.#giveBack(owner);
  }

  #giveBack(owner: string): void {
    const open = (this.#open.get(owner) ?? 1) - 1;
    if (open === 0) this.#open.delete(owner);
    else this.#open.set(owner, open);
  }
}
