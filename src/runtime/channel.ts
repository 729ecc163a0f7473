/** The sandbox's end of the channel: frames in to invocations, frames of invocations out, one write for each turn. */
import {
  FrameFlag,
  FrameType,
  MAX_HOST_PAYLOAD_BYTES,
  type Failure,
  type Hello,
  type Loaded,
} from '../contracts/frames.ts';
import { MalformedFrame } from '../kernel/frame-heads.ts';
import { FrameParser } from '../kernel/frame-parser.ts';
import { FrameWriter, type FrameSink } from '../kernel/frame-writer.ts';
import { StreamTable } from '../kernel/stream-table.ts';
import { Exchange, type ExchangeChannel } from './exchange.ts';
import { decodeHead } from './request-head.ts';

const WINDOW_BYTES = 4;

export interface ChannelHandlers {
  /** The Load frame; `payload` stays valid. */
  onLoad(payload: Buffer): void;
  /** The Exercise frame. */
  onExercise(withFetch: boolean): void;
  onRequest(exchange: Exchange): void;
  /** Runs what a frame brings about for an invocation: on its behalf, and so that what tenants' code throws stays there. */
  within(exchange: Exchange, action: () => void): void;
  /** A frame of egress; `payload` is good until this returns. */
  onEgress(type: number, flags: number, stream: number, payload: Buffer): void;
  /** An invocation is over; its last frame may not have been sent. */
  onOver(): void;
  /** An error of an invocation that has nobody to be told. */
  onStrayError(thrown: unknown): void;
}

export class RuntimeChannel implements ExchangeChannel {
  readonly #writer: FrameWriter;
  readonly #parser: FrameParser;
  readonly #handlers: ChannelHandlers;
  readonly #exchanges = new StreamTable<Exchange>();
  #held: Exchange[] = [];
  /** Where the present chunk lies: what is kept of it must be copied. */
  #shared: ArrayBufferLike | null = null;
  responseHeaderBytes = 16 * 1024;

  constructor(sink: FrameSink, handlers: ChannelHandlers) {
    this.#writer = new FrameWriter(sink);
    this.#handlers = handlers;
    this.#parser = new FrameParser(MAX_HOST_PAYLOAD_BYTES, (type, flags, stream, payload) =>
      this.#onFrame(type, flags, stream, payload),
    );
  }

  get inFlight(): number {
    return this.#exchanges.size;
  }

  /** `chunk` may be used anew afterwards. @throws MalformedFrame when the host breaks the protocol */
  receive(chunk: Buffer): void {
    this.#shared = chunk.buffer;
    this.#parser.push(chunk);
  }

  hello(hello: Hello): void {
    this.#sendJson(FrameType.Hello, hello);
  }

  loaded(loaded: Loaded): void {
    this.#sendJson(FrameType.Loaded, loaded);
  }

  fatal(failure: Failure): void {
    this.#sendJson(FrameType.Fatal, failure);
  }

  send(type: FrameType, flags: number, stream: number, payload?: Uint8Array): void {
    this.#writer.send(type, flags, stream, payload);
  }

  hold(exchange: Exchange): void {
    if (this.#held.length === 0) setImmediate(this.#endTurn);
    this.#held[this.#held.length] = exchange;
  }

  over(stream: number): void {
    this.#exchanges.delete(stream);
    this.#handlers.onOver();
  }

  logError(thrown: unknown): void {
    this.#handlers.onStrayError(thrown);
  }

  flush(): void {
    this.#writer.flush();
  }

  close(): void {
    this.#writer.close();
  }

  /** Heads that were begun in this turn and not ended in it leave now. */
  readonly #endTurn = (): void => {
    const held = this.#held;
    this.#held = [];
    for (let index = 0; index < held.length; index++) held[index]!.response.release();
    this.#writer.flush();
  };

  #sendJson(type: FrameType, value: Hello | Loaded | Failure): void {
    this.#writer.send(type, 0, 0, Buffer.from(JSON.stringify(value)));
    this.#writer.flush();
  }

  #onFrame(type: number, flags: number, stream: number, payload: Buffer): void {
    switch (type) {
      case FrameType.Request:
        return this.#onRequest(flags, stream, payload);
      case FrameType.Data:
        return this.#onData(flags, stream, payload);
      case FrameType.Window:
        return this.#onWindow(stream, payload);
      case FrameType.Cancel:
        return this.#within(stream, (exchange) => exchange.cancel());
      case FrameType.Ping:
        this.#writer.send(FrameType.Pong, 0, stream);
        return this.#writer.flush();
      case FrameType.Exercise:
        return this.#handlers.onExercise(payload[0] === 1);
      case FrameType.Load:
        return this.#handlers.onLoad(this.#kept(payload));
      default:
        if (type < FrameType.EgressOpen) throw new MalformedFrame(`frame ${type} from the host`);
        return this.#handlers.onEgress(type, flags, stream, payload);
    }
  }

  #onRequest(flags: number, stream: number, payload: Buffer): void {
    const { head, body } = decodeHead(payload);
    const exchange = new Exchange(this, stream, { head, body: this.#kept(body), flags });
    this.#exchanges.add(stream, exchange);
    this.#handlers.onRequest(exchange);
  }

  #onData(flags: number, stream: number, payload: Buffer): void {
    const exchange = this.#exchanges.get(stream);
    if (exchange === undefined) return;
    const chunk = this.#kept(payload);
    this.#handlers.within(exchange, () => exchange.body.receive(chunk, (flags & FrameFlag.End) !== 0));
  }

  #kept(bytes: Buffer): Buffer {
    return bytes.length > 0 && bytes.buffer === this.#shared ? Buffer.from(bytes) : bytes;
  }

  #onWindow(stream: number, payload: Buffer): void {
    if (payload.length !== WINDOW_BYTES) throw new MalformedFrame('a window of the wrong size');
    const bytes = payload.readUInt32LE(0);
    this.#within(stream, ({ response }) => response.granted(bytes));
  }

  #within(stream: number, action: (exchange: Exchange) => void): void {
    const exchange = this.#exchanges.get(stream);
    if (exchange !== undefined) this.#handlers.within(exchange, () => action(exchange));
  }
}
