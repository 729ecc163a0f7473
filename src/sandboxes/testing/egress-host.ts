/** The host's side of egress on a channel, without a channel: a test says frames, and plays the other ends of connections. */
import { Duplex } from 'node:stream';
import { type EgressFailure, FrameType } from '../../contracts/frames.ts';
import { FrameParser } from '../../kernel/frame-parser.ts';
import { FrameWriter } from '../../kernel/frame-writer.ts';
import { settled } from '../../kernel/testing/fake-clock.ts';
import { HostEgress } from '../channel/host-egress.ts';
import type { ConnectRequest, EgressError, LookupRequest, SandboxEgress } from '../egress/egress.ts';

export interface EgressFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** The other end of a connection that the broker opened. */
export class Remote extends Duplex {
  readonly received: Buffer[] = [];
  /** While it is holding: what takes the bytes that it holds back. */
  readonly held: (() => void)[] = [];
  isHolding = false;
  hasEnded = false;

  constructor() {
    super({ allowHalfOpen: true });
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.received.push(chunk);
    if (this.isHolding) this.held.push(done);
    else done();
  }

  override _final(done: () => void): void {
    this.hasEnded = true;
    done();
  }
}

const NONE = Buffer.alloc(0);

export class EgressHost {
  readonly frames: EgressFrame[] = [];
  readonly remotes: Remote[] = [];
  readonly requests: ConnectRequest[] = [];
  readonly questions: LookupRequest[] = [];
  readonly signals: AbortSignal[] = [];
  readonly counted = { in: 0, out: 0 };
  readonly egress: HostEgress;
  readonly #writer: FrameWriter;
  now = 0;
  /** What the broker answers instead of a connection. */
  refusal: EgressError | null = null;
  /** What the broker says without a look. */
  unseen: EgressFailure | null = null;
  /** What the broker waits for. */
  wait: Promise<void> = Promise.resolve();

  constructor() {
    const parser = new FrameParser(1_000_000, (type, flags, stream, payload) =>
      this.frames.push({ type, flags, stream, payload: Buffer.from(payload) }),
    );
    this.#writer = new FrameWriter({
      write: (bytes) => parser.push(Buffer.from(bytes)),
      cork() {},
      uncork() {},
    });
    this.egress = new HostEgress({
      writer: this.#writer,
      egress: this.#broker(),
      hopsOf: (invocation) => invocation % 10,
      onFault: (thrown) => {
        throw thrown;
      },
      now: () => this.now,
    });
  }

  /** The sandbox says a frame. */
  say(type: FrameType, stream: number, payload: Buffer | object = NONE, flags = 0): void {
    const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(JSON.stringify(payload));
    this.egress.onFrame(type, flags, stream, bytes);
  }

  /** What the sandbox was told, of one type. */
  told(type: FrameType): EgressFrame[] {
    return this.frames.filter((frame) => frame.type === type);
  }

  /** The JSON that the sandbox was told, of one type. */
  toldJson(type: FrameType): unknown[] {
    return this.told(type).map(({ payload }) => JSON.parse(payload.toString()) as unknown);
  }

  async connected(stream = 1): Promise<Remote> {
    this.say(FrameType.EgressOpen, stream, target);
    await settled();
    return this.remotes.at(-1)!;
  }

  /** Everything has happened, and the frames of it are written. */
  async quiet(): Promise<void> {
    await settled();
    this.#writer.flush();
  }

  #broker(): SandboxEgress {
    const answer = async <T>(make: () => T): Promise<T> => {
      await this.wait;
      if (this.refusal !== null) throw this.refusal;
      return make();
    };
    return {
      connect: (request, signal) => {
        this.requests.push(request);
        this.signals.push(signal);
        return answer(() => {
          const stream = new Remote();
          this.remotes.push(stream);
          return {
            stream,
            peer: { address: '192.0.2.7', family: 4 },
            count: (direction, bytes) => (this.counted[direction] += bytes),
          };
        });
      },
      lookup: (question) => {
        this.questions.push(question);
        return answer(() => ({ result: ['192.0.2.7'] }));
      },
      refuseUnseen: () => this.unseen,
      charge: () => 0,
    };
  }
}

export const target = { host: 'a.test', port: 443, family: 0, invocation: 3 };

export function windowOf(bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(bytes);
  return payload;
}
