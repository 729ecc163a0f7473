/**
 * The host's end of a channel. What comes in is hostile: every frame is checked for type, size and order, and the first
 * one that breaks a rule closes the channel. A sandbox can only speak of invocations that the host opened in it.
 */
import type { Socket } from 'node:net';
import { BerthError } from '../../contracts/errors.ts';
import {
  failureSchema,
  FrameFlag,
  FrameType,
  helloSchema,
  INITIAL_WINDOW_BYTES,
  loadedSchema,
  LogLevel,
  type LogLevelName,
  MAX_SANDBOX_PAYLOAD_BYTES,
  MAX_STREAM,
} from '../../contracts/frames.ts';
import { decodeResponseHead, encodeRequestHead, MalformedFrame } from '../../kernel/frame-heads.ts';
import { FrameParser } from '../../kernel/frame-parser.ts';
import { FrameWriter } from '../../kernel/frame-writer.ts';
import { LogAllowance } from '../../kernel/log-allowance.ts';
import { StreamTable } from '../../kernel/stream-table.ts';
import { RELEASE_FROM_BYTES } from '../../kernel/spent-memory.ts';
import type { Invocation, InvocationEvents } from '../sandboxes.ts';
import type { Channel, ChannelEvents, InvocationRequest } from './channel.ts';
import type { SandboxEgress } from '../egress/egress.ts';
import { parseJson } from './frame-json.ts';
import { HopCount } from './hop-count.ts';
import { HostEgress } from './host-egress.ts';
import { HostInvocation } from './host-invocation.ts';
import { PacedReader } from './paced-reader.ts';
import { UnaskedFrames } from './unasked-frames.ts';

const MAX_LOG_TEXT_BYTES = 64 * 1024;
/** Dropping costs the host as well: a sandbox that owes this much of its log rate is not read for a moment. */
const FLOODED_FROM_SECONDS = 2;
const LOG_DEBT_SECONDS = 3;
/** How long a flooding sandbox is not read; short beside `blockedMs`, so its pongs still count. */
const FLOOD_PAUSE_MS = 25;
/** However much its tenant owes, so its turns stay short beside `blockedMs`. */
const MAX_PAUSE_MS = 250;
/** Beyond what it has given credit for: a sandbox that asks and does not read the answers is not read either. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;
/** Dropped lines are said at most this often. */
const DROP_REPORT_MS = 1_000;
const LOG_DROPPED_PAYLOAD_BYTES = 8;
const KNOWN_FLAGS = FrameFlag.End | FrameFlag.Done;

const levelNames = new Map<number, LogLevelName>(
  Object.entries(LogLevel).map(([name, level]) => [level, name as LogLevelName]),
);

export interface HostChannelOptions {
  readonly socket: Socket;
  readonly events: ChannelEvents;
  readonly logBytesPerSecond: number;
  /** What the sandbox may do outside; asked once, after Load. */
  readonly egress: () => SandboxEgress;
  /** milliseconds, monotonic */
  readonly now: () => number;
}

export function createHostChannel(options: HostChannelOptions): Channel {
  return new HostChannel(options);
}

class HostChannel implements Channel {
  readonly #socket: Socket;
  readonly #events: ChannelEvents;
  readonly #writer: FrameWriter;
  readonly #invocations = new StreamTable<HostInvocation>();
  readonly #pings = new Set<number>();
  readonly #log: LogAllowance;
  readonly #hops: HopCount;
  readonly #reader: PacedReader;
  readonly #openBroker: () => SandboxEgress;
  readonly #openEgress: () => HostEgress;
  #broker: SandboxEgress | null = null;
  #egress: HostEgress | null = null;
  readonly #unasked = new UnaskedFrames();
  readonly #now: () => number;
  #nextStream = 1;
  #saidHello = false;
  #isLoadSent = false;
  #saidLoaded = false;
  #saidFatal = false;
  #isClosed = false;
  #dropTimer: NodeJS.Timeout | null = null;
  /** The bytes at hand, as they were read. */
  #bytes: Buffer | null = null;
  progress = 0;
  #grants = 0;

  constructor({ socket, events, logBytesPerSecond, egress, now }: HostChannelOptions) {
    this.#socket = socket;
    this.#events = events;
    this.#now = now;
    this.#writer = new FrameWriter(socket, { ownsData: true });
    this.#log = new LogAllowance({ bytesPerSecond: logBytesPerSecond, now, debtSeconds: LOG_DEBT_SECONDS });
    this.#hops = new HopCount(now);
    const hopsOf = (stream: number): number => this.#hops.of(this.#invocations.get(stream));
    const onFault = (thrown: unknown): void => events.onFault(thrown);
    this.#openBroker = () => (this.#broker ??= egress());
    this.#openEgress = () =>
      new HostEgress({ writer: this.#writer, egress: this.#openBroker(), hopsOf, onFault, now });
    const parser = new FrameParser(MAX_SANDBOX_PAYLOAD_BYTES, (type, flags, stream, payload) =>
      this.#onFrame(type, flags, stream, payload),
    );
    this.#reader = new PacedReader({
      socket,
      onBytes: (bytes) => this.#onBytes(parser, bytes),
      pauseMs: (isAll) => this.#pauseMs(isAll),
      isUnread: () => this.#isUnread,
      isFlooded: () => this.#broker !== null && this.#broker.charge(0) > 0,
    });
    socket.on('error', () => this.#end(null));
    socket.on('close', () => this.#end(null));
  }

  get inFlight(): number {
    return this.#invocations.size;
  }

  get moves(): number {
    return this.progress + this.#grants;
  }

  get egressAt(): number {
    return this.#egress?.endedAt ?? 0;
  }

  exercise(withFetch: boolean): void {
    this.#writer.send(FrameType.Exercise, 0, 0, Buffer.of(withFetch ? 1 : 0));
  }

  load(payload: Buffer): void {
    this.#isLoadSent = true;
    this.#writer.send(FrameType.Load, 0, 0, payload);
  }

  open(request: InvocationRequest, events: InvocationEvents): Invocation {
    const stream = this.#nextStream++;
    if (stream > MAX_STREAM) throw new RangeError('the channel has used up its streams');
    const { head, body, isEnd, isUpgrade, hops = 0 } = request;
    const encoded = encodeRequestHead(head);
    const invocation = new HostInvocation({
      id: head.invocation,
      stream,
      writer: this.#writer,
      events,
      sentBytes: body.length,
      isRequestEnded: isEnd,
      hops,
    });
    if (hops > 0) this.#hops.saw(hops);
    this.#invocations.add(stream, invocation);
    const flags = (isEnd ? FrameFlag.End : 0) | (isUpgrade ? FrameFlag.Upgrade : 0);
    this.#writer.send(
      FrameType.Request,
      flags,
      stream,
      body.length === 0 ? encoded : Buffer.concat([encoded, body]),
    );
    return invocation;
  }

  ping(nonce: number): void {
    this.#pings.add(nonce);
    this.#writer.send(FrameType.Ping, 0, nonce);
  }

  setLogRate(bytesPerSecond: number): void {
    this.#log.setRate(bytesPerSecond);
  }

  close(error: BerthError): void {
    this.#shut();
    for (const invocation of this.#invocations.drain()) this.#failOne(invocation, error);
  }

  #failOne(invocation: HostInvocation, error: BerthError): void {
    try {
      invocation.failed(error);
    } catch (thrown) {
      this.#events.onFault(thrown);
    }
  }

  #onBytes(parser: FrameParser, bytes: Buffer): void {
    if (this.#isClosed) return;
    this.#bytes = bytes;
    try {
      parser.push(bytes);
    } catch (error) {
      return this.#endBy(error);
    }
    if (this.#log.hasDropped) this.#dropTimer ??= setTimeout(this.#reportDropped, DROP_REPORT_MS);
  }

  /** Whatever it was, thrown on it would end the platform with all its tenants: it ends this one channel. */
  #endBy(error: unknown): void {
    if (error instanceof MalformedFrame)
      return this.#end(new BerthError('PROTOCOL_VIOLATION', { reason: error.message }, { cause: error }));
    this.#events.onFault(error);
    this.#end(new BerthError('INTERNAL', {}, { cause: error }));
  }

  #onFrame(type: number, flags: number, stream: number, payload: Buffer): void {
    if (this.#isClosed) return;
    if ((flags & ~KNOWN_FLAGS) !== 0) throw new MalformedFrame('unknown flags');
    if (!this.#saidHello && type !== FrameType.Hello) throw new MalformedFrame('no hello');
    switch (type) {
      case FrameType.Response:
        return this.#onResponse(flags, stream, payload);
      case FrameType.Data:
        return this.#onData(flags, stream, payload);
      case FrameType.Window:
        this.#grants++;
        return this.#invocation(stream).granted(payload);
      case FrameType.Done:
        return this.#onDone(stream, payload);
      case FrameType.Failed:
        return this.#onFailed(stream, payload);
      case FrameType.Log:
        return this.#onLog(stream, payload);
      case FrameType.Pong:
        return this.#onPong(stream, payload);
      default:
        if (type >= FrameType.EgressOpen) return this.#onEgress(type, flags, stream, payload);
        return this.#onRareFrame(type, stream, payload);
    }
  }

  #onEgress(type: number, flags: number, stream: number, payload: Buffer): void {
    // Before that there is no tenant on whose behalf it could be.
    if (!this.#isLoadSent) throw new MalformedFrame('egress before load');
    if (type === FrameType.EgressData) this.#unasked.addBytes(payload.length);
    else this.#unasked.add(payload.length);
    this.#egress ??= this.#openEgress();
    this.#egress.onFrame(type, flags, stream, type === FrameType.EgressData ? this.#kept(payload) : payload);
    if (type === FrameType.EgressData || type === FrameType.EgressWindow) this.progress++;
  }

  #onRareFrame(type: number, stream: number, payload: Buffer): void {
    if (stream !== 0) throw new MalformedFrame(`frame ${type} on stream ${stream}`);
    switch (type) {
      case FrameType.Hello:
        return this.#onHello(payload);
      case FrameType.Loaded:
        return this.#onLoaded(payload);
      case FrameType.LogDropped:
        return this.#onLogDropped(payload);
      case FrameType.Fatal:
        return this.#onFatal(payload);
      default:
        throw new MalformedFrame(`unknown frame ${type}`);
    }
  }

  #onHello(payload: Buffer): void {
    if (this.#saidHello) throw new MalformedFrame('a second hello');
    this.#saidHello = true;
    this.#events.onHello(parseJson(helloSchema, payload));
  }

  #onLoaded(payload: Buffer): void {
    if (!this.#isLoadSent || this.#saidLoaded) throw new MalformedFrame('loaded out of order');
    this.#saidLoaded = true;
    this.#events.onLoaded(parseJson(loadedSchema, payload));
  }

  /** Its stack goes to the log whatever has come there, so it is said once. */
  #onFatal(payload: Buffer): void {
    if (this.#saidFatal) throw new MalformedFrame('a second fatal');
    this.#saidFatal = true;
    const { reason, stack } = parseJson(failureSchema, payload);
    this.#events.onFatal(reason, stack);
  }

  #onResponse(flags: number, stream: number, payload: Buffer): void {
    const invocation = this.#invocation(stream);
    if (invocation.isResponseBegun) throw new MalformedFrame('a second response');
    const { head, body } = decodeResponseHead(payload);
    this.progress++;
    invocation.responded(head, this.#kept(body), (flags & FrameFlag.End) !== 0);
    if ((flags & FrameFlag.Done) !== 0) this.#finish(stream, invocation);
  }

  #onData(flags: number, stream: number, payload: Buffer): void {
    const invocation = this.#invocation(stream);
    this.progress++;
    this.#unasked.addBytes(payload.length);
    invocation.received(this.#kept(payload), (flags & FrameFlag.End) !== 0);
    if ((flags & FrameFlag.Done) !== 0) this.#finish(stream, invocation);
  }

  /** Body bytes outlive the memory that they came in, which is released: they are copied, unless it is a small one. */
  #kept(bytes: Buffer): Buffer {
    const memory = this.#bytes?.buffer;
    return bytes.buffer === memory && memory.byteLength >= RELEASE_FROM_BYTES ? Buffer.from(bytes) : bytes;
  }

  #onDone(stream: number, payload: Buffer): void {
    if (payload.length !== 0) throw new MalformedFrame('done with a payload');
    this.#finish(stream, this.#invocation(stream));
  }

  #finish(stream: number, invocation: HostInvocation): void {
    this.progress++;
    this.#invocations.delete(stream);
    invocation.done();
  }

  #onFailed(stream: number, payload: Buffer): void {
    const invocation = this.#invocation(stream);
    const { code, reason, stack } = parseJson(failureSchema, payload);
    this.progress++;
    this.#invocations.delete(stream);
    if (stack !== undefined && this.#log.admit(stack.length))
      this.#events.onLog(invocation.id, 'error', stack);
    invocation.failed(new BerthError(code, { reason }));
  }

  #onLog(stream: number, payload: Buffer): void {
    const level = levelNames.get(payload[0] ?? 0);
    if (level === undefined || payload.length - 1 > MAX_LOG_TEXT_BYTES)
      throw new MalformedFrame('a log line of the wrong form');
    this.#unasked.add(payload.length);
    if (!this.#log.admit(payload.length)) return;
    this.#events.onLog(this.#invocations.get(stream)?.id ?? null, level, payload.toString('utf8', 1));
  }

  #onLogDropped(payload: Buffer): void {
    if (payload.length !== LOG_DROPPED_PAYLOAD_BYTES)
      throw new MalformedFrame('dropped lines of the wrong form');
    this.#unasked.add(payload.length);
    this.#log.addDropped(payload.readUInt32LE(0), payload.readUInt32LE(4));
  }

  #onPong(nonce: number, payload: Buffer): void {
    if (payload.length !== 0 || !this.#pings.delete(nonce)) throw new MalformedFrame('a pong without a ping');
    this.#events.onPong(nonce);
  }

  #invocation(stream: number): HostInvocation {
    const invocation = this.#invocations.get(stream);
    if (invocation === undefined) throw new MalformedFrame(`stream ${stream} is not open`);
    return invocation;
  }

  #pauseMs(isAll: boolean): number {
    const logMs = isAll && this.#log.owes(FLOODED_FROM_SECONDS) ? FLOOD_PAUSE_MS : 0;
    const frames = this.#isLoadSent ? this.#unasked.take(this.#now()) : 0;
    if (frames === 0) return logMs;
    const owedMs = Math.min(MAX_PAUSE_MS, this.#openBroker().charge(frames));
    return owedMs >= FLOOD_PAUSE_MS ? owedMs : logMs;
  }

  /** Only egress is answered without credit. */
  get #isUnread(): boolean {
    if (this.#egress === null) return false;
    const unread =
      this.#socket.writableLength - this.#invocations.size * INITIAL_WINDOW_BYTES - MAX_UNREAD_BYTES;
    return unread > 0 && unread > this.#egress.untakenBytes;
  }

  readonly #reportDropped = (): void => {
    this.#dropTimer = null;
    const dropped = this.#log.takeDropped();
    if (dropped !== null) this.#events.onLogDropped(dropped.lines, dropped.bytes);
  };

  #end(violation: BerthError | null): void {
    if (this.#isClosed) return;
    this.#shut();
    this.#events.onClosed(violation);
  }

  #shut(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#reader.close();
    if (this.#dropTimer !== null) clearTimeout(this.#dropTimer);
    this.#egress?.close();
    this.#writer.close();
    this.#socket.destroy();
    this.#reportDropped();
  }
}
