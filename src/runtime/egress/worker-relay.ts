/**
 * The streams of egress of one worker thread, on the channel of its parent. A worker numbers its own; here they get numbers of
 * the channel. Credit goes from end to end, so what waits here is bounded by it.
 */
import type { MessagePort } from 'node:worker_threads';
import { type EgressAnswer, FrameType } from '../../contracts/frames.ts';
import { type EgressPort, tooManyStreams } from './egress-port.ts';
import { postFrame, type ThreadFrame } from './thread-frames.ts';

const NOTHING = new Uint8Array(0);

export class WorkerRelay {
  readonly #egress: EgressPort;
  readonly #worker: MessagePort;
  /** From the worker's numbers to those of the channel. */
  readonly #numbers = new Map<number, { readonly number: number; readonly isQuestion: boolean }>();

  /** @param worker this side of the thread's port; closed when the thread is gone */
  constructor(egress: EgressPort, worker: MessagePort) {
    this.#egress = egress;
    this.#worker = worker;
    worker.on('message', (frame: ThreadFrame) => this.#onFrame(frame));
    worker.on('close', () => this.#close());
    worker.unref();
  }

  #onFrame([type, flags, stream, payload]: ThreadFrame): void {
    if (type === FrameType.EgressOpen || type === FrameType.EgressLookup)
      return this.#begin(type, stream, payload);
    const known = this.#numbers.get(stream);
    if (known === undefined) return;
    this.#egress.pass(type, flags, known.number, payload);
    if (type === FrameType.EgressClose) this.#forget(stream, known.number);
  }

  #begin(type: FrameType, stream: number, payload: Uint8Array): void {
    const isQuestion = type === FrameType.EgressLookup;
    const number = this.#egress.begin((type, flags, payload) => {
      if (type === FrameType.EgressAnswer && number !== null) this.#forget(stream, number);
      postFrame(this.#worker, [type as FrameType, flags, stream, payload]);
    });
    if (number === null) return this.#refuse(stream, isQuestion);
    this.#numbers.set(stream, { number, isQuestion });
    this.#egress.pass(type, 0, number, payload);
  }

  #refuse(stream: number, isQuestion: boolean): void {
    const answer: EgressAnswer = { ok: false, ...tooManyStreams };
    const type = isQuestion ? FrameType.EgressAnswer : FrameType.EgressClose;
    postFrame(this.#worker, [
      type,
      0,
      stream,
      Buffer.from(JSON.stringify(isQuestion ? answer : tooManyStreams)),
    ]);
  }

  #forget(stream: number, number: number): void {
    this.#numbers.delete(stream);
    this.#egress.forget(number);
  }

  /** The thread is gone: so are its connections. What it asked is answered to nobody. */
  #close(): void {
    for (const [stream, { number, isQuestion }] of this.#numbers) {
      if (!isQuestion) this.#egress.pass(FrameType.EgressClose, 0, number, NOTHING);
      this.#forget(stream, number);
    }
  }
}
