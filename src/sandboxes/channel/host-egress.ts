/**
 * The egress side of a channel: streams that the sandbox numbers, each a connection or a question to the DNS. Made with the
 * first frame of egress, so that sandboxes without any pay nothing. What comes in is hostile, as on the rest of the channel.
 */
import type { Duplex } from 'node:stream';
import {
  type EgressAnswer,
  egressLookupSchema,
  egressOpenSchema,
  FrameFlag,
  FrameType,
  MAX_EGRESS_STREAMS,
} from '../../contracts/frames.ts';
import { MalformedFrame } from '../../kernel/frame-heads.ts';
import type { FrameWriter } from '../../kernel/frame-writer.ts';
import type { SandboxEgress } from '../egress/egress.ts';
import { parseJson } from './frame-json.ts';
import { failureOf, HostEgressStream } from './host-egress-stream.ts';

export interface HostEgressOptions {
  readonly writer: FrameWriter;
  readonly egress: SandboxEgress;
  /** How often the request behind an invocation has passed through the gateway. */
  readonly hopsOf: (invocation: number) => number;
  /** The platform's own code threw. */
  readonly onFault: (thrown: unknown) => void;
  /** milliseconds, monotonic */
  readonly now: () => number;
}

/** How long the last bytes of a sandbox that is gone may take to leave, where the other side is slow to read them. */
const LINGER_MS = 5_000;

export class HostEgress {
  readonly #options: HostEgressOptions;
  /** null: refused unseen, and the sandbox has not said that it knows. */
  readonly #streams = new Map<number, HostEgressStream | null>();
  readonly #questions = new Map<number, AbortController>();
  /** Closed by the sandbox, and not all is delivered. */
  readonly #lingering = new Set<Duplex>();
  #last = 0;
  #endedAt = 0;

  constructor(options: HostEgressOptions) {
    this.#options = options;
  }

  /** When the last stream or question ended, monotonic; `Infinity` while there is one. */
  get endedAt(): number {
    return this.#open === 0 ? this.#endedAt : Number.POSITIVE_INFINITY;
  }

  /** @throws MalformedFrame when the sandbox breaks the protocol */
  onFrame(type: number, flags: number, stream: number, payload: Buffer): void {
    if (flags !== 0 && (type !== FrameType.EgressData || flags !== FrameFlag.End))
      throw new MalformedFrame('unknown flags');
    switch (type) {
      case FrameType.EgressOpen:
        return this.#onOpen(stream, payload);
      case FrameType.EgressData:
        return this.#stream(stream).received(payload, flags === FrameFlag.End);
      case FrameType.EgressWindow:
        return this.#stream(stream).granted(payload);
      case FrameType.EgressClose:
        return this.#onClose(stream, payload);
      case FrameType.EgressLookup:
        return this.#onLookup(stream, payload);
      default:
        throw new MalformedFrame(`unknown frame ${type}`);
    }
  }

  /** The channel is gone. */
  close(): void {
    for (const stream of this.#streams.values()) stream?.drop();
    for (const question of this.#questions.values()) question.abort();
    this.#streams.clear();
    this.#questions.clear();
    for (const connection of this.#lingering) {
      const timer = setTimeout(() => connection.destroy(), LINGER_MS).unref();
      connection.once('close', () => clearTimeout(timer));
    }
  }

  #onOpen(number: number, payload: Buffer): void {
    const { writer, egress, hopsOf } = this.#options;
    this.#begin(number);
    const refusal = egress.refuseUnseen('connect');
    if (refusal !== null) {
      this.#streams.set(number, null);
      return writer.send(FrameType.EgressClose, 0, number, Buffer.from(JSON.stringify(refusal)));
    }
    const { invocation, ...target } = parseJson(egressOpenSchema, payload);
    const stream = new HostEgressStream(number, writer);
    this.#streams.set(number, stream);
    egress
      .connect({ ...target, hops: hopsOf(invocation) + 1 }, stream.signal)
      .then(
        (connection) => stream.opened(connection),
        (error: unknown) => stream.fail(error),
      )
      .catch(this.#options.onFault);
  }

  #onLookup(number: number, payload: Buffer): void {
    this.#begin(number);
    const refusal = this.#options.egress.refuseUnseen('lookup');
    if (refusal !== null) return this.#tell(number, { ok: false, ...refusal });
    const question = parseJson(egressLookupSchema, payload);
    const abort = new AbortController();
    this.#questions.set(number, abort);
    this.#options.egress
      .lookup(question, abort.signal)
      .then(
        (found) => this.#answer(number, { ok: true, ...found }),
        (error: unknown) => this.#answer(number, { ok: false, ...failureOf(error) }),
      )
      .catch(this.#options.onFault);
  }

  #answer(number: number, answer: EgressAnswer): void {
    if (this.#questions.delete(number)) this.#tell(number, answer);
  }

  #tell(number: number, answer: EgressAnswer): void {
    this.#endedAt = this.#options.now();
    this.#options.writer.send(FrameType.EgressAnswer, 0, number, Buffer.from(JSON.stringify(answer)));
  }

  #onClose(number: number, payload: Buffer): void {
    if (payload.length !== 0) throw new MalformedFrame('a close with a payload');
    const lingering = this.#streams.get(number) === null ? null : this.#stream(number).closed();
    if (lingering !== null) {
      this.#lingering.add(lingering);
      lingering.once('close', () => this.#lingering.delete(lingering));
    }
    this.#streams.delete(number);
    this.#endedAt = this.#options.now();
  }

  #begin(number: number): void {
    if (number <= this.#last) throw new MalformedFrame(`stream ${number} of egress is not new`);
    this.#last = number;
    // Those that the host has closed count until the sandbox has said that it knows.
    if (this.#open >= MAX_EGRESS_STREAMS) throw new MalformedFrame('too many streams of egress');
  }

  /** Sent on connections, and not granted anew. Looks at each of them. */
  get untakenBytes(): number {
    let bytes = 0;
    for (const stream of this.#streams.values()) bytes += stream?.untakenBytes ?? 0;
    return bytes;
  }

  get #open(): number {
    return this.#streams.size + this.#questions.size;
  }

  #stream(number: number): HostEgressStream {
    const stream = this.#streams.get(number);
    if (stream === undefined || stream === null)
      throw new MalformedFrame(`stream ${number} of egress is not open`);
    return stream;
  }
}
