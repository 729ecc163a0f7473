/** The sandbox's end of egress on the channel: numbers connections and questions, and hands frames to them. */
import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type EgressAnswer,
  type EgressFailure,
  type EgressLookup,
  type EgressOpen,
  FrameFlag,
  FrameType,
  MAX_EGRESS_STREAMS,
} from '../../contracts/frames.ts';
import { MalformedFrame } from '../../kernel/frame-heads.ts';
import { EgressStream, type EgressStreamEvents } from './egress-stream.ts';

export type SendFrame = (type: FrameType, flags: number, stream: number, payload?: Uint8Array) => void;

export interface EgressPortOptions {
  readonly send: SendFrame;
  /** The invocation that runs at this moment, 0 for none. */
  readonly currentInvocation: () => number;
  /** What tenants' code throws when it hears something. */
  readonly onUncaught: (thrown: unknown) => void;
  /** Whether somebody waits for something: a thread that has nothing else to do lives on for it. */
  readonly onAwaited?: (isAwaited: boolean) => void;
}

/** A stream that another thread runs; what the host says of it. `payload` is good until this returns. */
export type Passed = (type: number, flags: number, payload: Buffer) => void;

interface Question {
  readonly run: Run;
  readonly onAnswer: (answer: EgressAnswer) => void;
}

/** Runs in the context of the invocation that something was begun in, so that what it logs is that one's. */
type Run = <T>(action: () => T) => T;

export const tooManyStreams: EgressFailure = {
  code: 'EMFILE',
  reason: `${MAX_EGRESS_STREAMS} connections of one sandbox are open`,
};

export class EgressPort {
  readonly #options: EgressPortOptions;
  readonly #streams = new Map<number, { readonly run: Run; readonly stream: EgressStream }>();
  readonly #questions = new Map<number, Question>();
  readonly #passed = new Map<number, Passed>();
  #next = 1;
  #awaited = 0;

  constructor(options: EgressPortOptions) {
    this.#options = options;
  }

  /** Never throws; what becomes of it is told by events, not before this has returned. */
  connect(target: Omit<EgressOpen, 'invocation'>, events: EgressStreamEvents): EgressStream {
    const number = this.#next++;
    const { send, currentInvocation } = this.#options;
    const stream = new EgressStream({ number, send, events, onOver: () => this.#streams.delete(number) });
    if (this.#isFull) {
      setImmediate(() => stream.refused(tooManyStreams));
      return stream;
    }
    this.#streams.set(number, { run: AsyncLocalStorage.snapshot(), stream });
    send(FrameType.EgressOpen, 0, number, json({ ...target, invocation: currentInvocation() }));
    return stream;
  }

  /** Never throws; the answer does not come before this has returned. */
  ask(question: EgressLookup, onAnswer: (answer: EgressAnswer) => void): void {
    if (this.#isFull) {
      setImmediate(() => onAnswer({ ok: false, ...tooManyStreams }));
      return;
    }
    const number = this.#next++;
    this.#questions.set(number, { run: AsyncLocalStorage.snapshot(), onAnswer });
    this.hold();
    this.#options.send(FrameType.EgressLookup, 0, number, json(question));
  }

  /** One more that waits for something from the host. */
  hold(): void {
    if (this.#awaited++ === 0) this.#options.onAwaited?.(true);
  }

  /** It waits no more. */
  letGo(): void {
    if (--this.#awaited === 0) this.#options.onAwaited?.(false);
  }

  /** @returns the number of a stream that another thread runs; null: there are too many */
  begin(onFrame: Passed): number | null {
    if (this.#isFull) return null;
    const number = this.#next++;
    this.#passed.set(number, onFrame);
    return number;
  }

  /** Sends a frame of such a stream. */
  pass(type: FrameType, flags: number, number: number, payload: Uint8Array): void {
    this.#options.send(type, flags, number, payload);
  }

  /** Nothing more is heard of such a stream. */
  forget(number: number): void {
    this.#passed.delete(number);
  }

  /** `payload` may be used anew afterwards. @throws MalformedFrame when the host breaks the protocol */
  onFrame(type: number, flags: number, number: number, payload: Buffer): void {
    const passed = this.#passed.get(number);
    if (passed !== undefined) return passed(type, flags, payload);
    if (type === FrameType.EgressAnswer) return this.#onAnswer(number, payload);
    const entry = this.#streams.get(number);
    // The sandbox has closed it, and the host did not know yet.
    if (entry === undefined) return;
    const { stream, run } = entry;
    switch (type) {
      case FrameType.EgressOpened: {
        const peer = parse(payload) as Parameters<EgressStream['opened']>[0];
        return this.#guarded(run, () => stream.opened(peer));
      }
      case FrameType.EgressData:
        return this.#guarded(run, () => stream.received(payload, (flags & FrameFlag.End) !== 0));
      case FrameType.EgressWindow:
        return this.#guarded(run, () => stream.granted(payload.readUInt32LE(0)));
      case FrameType.EgressClose: {
        const failure = parse(payload) as EgressFailure;
        return this.#guarded(run, () => stream.refused(failure));
      }
      default:
        throw new MalformedFrame(`frame ${type} from the host`);
    }
  }

  get #isFull(): boolean {
    return this.#streams.size + this.#questions.size + this.#passed.size >= MAX_EGRESS_STREAMS - 1;
  }

  #onAnswer(number: number, payload: Buffer): void {
    const question = this.#questions.get(number);
    if (question === undefined) return;
    this.#questions.delete(number);
    this.letGo();
    const answer = parse(payload) as EgressAnswer;
    this.#guarded(question.run, () => question.onAnswer(answer));
  }

  #guarded(run: Run, action: () => void): void {
    try {
      run(action);
    } catch (error) {
      this.#options.onUncaught(error);
    }
  }
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function parse(payload: Buffer): unknown {
  return JSON.parse(payload.toString('utf8'));
}
