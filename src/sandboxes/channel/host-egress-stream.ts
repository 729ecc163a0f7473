/** The host's view of one connection of egress on a channel: credit both ways, half-close, and the order in which a sandbox may speak. */
import type { Duplex } from 'node:stream';
import {
  EGRESS_WINDOW_BYTES,
  type EgressFailure,
  type EgressPeer,
  FrameFlag,
  FrameType,
  LEAST_EGRESS_GRANT_BYTES,
  MAX_DATA_BYTES,
} from '../../contracts/frames.ts';
import { MalformedFrame } from '../../kernel/frame-heads.ts';
import type { FrameWriter } from '../../kernel/frame-writer.ts';
import { SMALL_PIECE_BYTES, SmallPieces } from '../../kernel/small-pieces.ts';
import { type EgressConnection, EgressError } from '../egress/egress.ts';

const WINDOW_PAYLOAD_BYTES = 4;
const NOTHING = Buffer.alloc(0);

export class HostEgressStream {
  readonly #stream: number;
  readonly #writer: FrameWriter;
  readonly #abort = new AbortController();
  #connection: EgressConnection | null = null;
  #sendCredit = EGRESS_WINDOW_BYTES;
  #receiveCredit = EGRESS_WINDOW_BYTES;
  #passedOn = 0;
  /** Pieces that the connection has not taken yet, and the small ones that came meanwhile. */
  #waiting = 0;
  readonly #small = new SmallPieces();
  #hasSandboxEnded = false;
  #hasRemoteEnded = false;
  /** Nothing more is sent to the sandbox on this stream. */
  #isClosed = false;

  constructor(stream: number, writer: FrameWriter) {
    this.#stream = stream;
    this.#writer = writer;
  }

  /** Fires when the sandbox has given up a connection that is on its way. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Sent, and not granted anew. */
  get untakenBytes(): number {
    return EGRESS_WINDOW_BYTES - this.#sendCredit;
  }

  opened(connection: EgressConnection): void {
    const { stream, peer } = connection;
    stream.on('error', (error) => this.fail(error));
    if (this.#isClosed) return void stream.destroy();
    this.#connection = connection;
    this.#sendJson(FrameType.EgressOpened, { address: peer.address, family: peer.family });
    stream.on('readable', () => this.#pump(connection));
    stream.once('end', () => this.#remoteEnded());
    stream.once('close', () => this.#remoteClosed());
    this.#pump(connection);
  }

  /** Tells the sandbox that there is no connection, or none any more. */
  fail(error: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#sendJson(FrameType.EgressClose, failureOf(error));
  }

  /** The channel is gone. */
  drop(): void {
    this.#isClosed = true;
    this.#abort.abort();
    this.#connection?.stream.destroy();
  }

  // --- what the sandbox says; each throws MalformedFrame when it is out of order

  received(chunk: Buffer, isEnd: boolean): void {
    if (this.#hasSandboxEnded || (this.#connection === null && !this.#isClosed))
      throw new MalformedFrame('bytes of egress out of order');
    if (chunk.length === 0 && !isEnd) throw new MalformedFrame('an empty piece of egress');
    if (chunk.length > MAX_DATA_BYTES || chunk.length > this.#receiveCredit)
      throw new MalformedFrame('more bytes of egress than there is credit for');
    this.#receiveCredit -= chunk.length;
    this.#hasSandboxEnded = isEnd;
    const connection = this.#connection;
    if (connection === null || this.#isClosed) return;
    if (chunk.length > 0) this.#passOn(connection, chunk);
    if (!isEnd) return;
    this.#writeSmall(connection.stream);
    connection.stream.end();
  }

  granted(payload: Buffer): void {
    if (payload.length !== WINDOW_PAYLOAD_BYTES) throw new MalformedFrame('a window of the wrong size');
    const bytes = payload.readUInt32LE(0);
    if (bytes < LEAST_EGRESS_GRANT_BYTES) throw new MalformedFrame('less credit than may be granted at once');
    if (this.#sendCredit + bytes > EGRESS_WINDOW_BYTES)
      throw new MalformedFrame('credit for bytes that were not sent');
    this.#sendCredit += bytes;
    if (this.#connection !== null) this.#pump(this.#connection);
  }

  /**
   * What it has sent is still delivered when it had said that it is complete.
   * @returns the connection that stays open for that, or null
   */
  closed(): Duplex | null {
    this.#isClosed = true;
    this.#abort.abort();
    const stream = this.#connection?.stream;
    if (stream === undefined) return null;
    stream.resume();
    if (this.#hasSandboxEnded && !stream.writableFinished && !stream.destroyed)
      return stream.once('finish', () => stream.destroy());
    stream.destroy();
    return null;
  }

  #passOn(connection: EgressConnection, chunk: Buffer): void {
    const { stream } = connection;
    if (this.#waiting > 0 && chunk.length < SMALL_PIECE_BYTES) this.#small.add(chunk);
    else {
      this.#writeSmall(stream);
      this.#write(stream, chunk);
    }
    connection.count('out', chunk.length);
  }

  #write(stream: Duplex, bytes: Buffer): void {
    this.#waiting += 1;
    stream.write(bytes, () => {
      this.#waiting -= 1;
      this.#grant(bytes.length);
      if (this.#waiting === 0 && stream.writable) this.#writeSmall(stream);
    });
  }

  #writeSmall(stream: Duplex): void {
    const gathered = this.#small.take();
    if (gathered !== null) this.#write(stream, gathered);
  }

  #grant(bytes: number): void {
    this.#passedOn += bytes;
    if (this.#passedOn < LEAST_EGRESS_GRANT_BYTES || this.#hasSandboxEnded || this.#isClosed) return;
    const grant = Buffer.allocUnsafe(WINDOW_PAYLOAD_BYTES);
    grant.writeUInt32LE(this.#passedOn);
    this.#receiveCredit += this.#passedOn;
    this.#passedOn = 0;
    this.#writer.send(FrameType.EgressWindow, 0, this.#stream, grant);
  }

  /** Reads only what the sandbox has room for: the rest stays in the socket, and the sender waits. */
  #pump(connection: EgressConnection): void {
    const { stream } = connection;
    while (this.#sendCredit > 0 && stream.readableLength > 0 && !this.#isClosed) {
      const chunk = read(stream, Math.min(this.#sendCredit, stream.readableLength, MAX_DATA_BYTES));
      if (chunk === null) return;
      this.#sendCredit -= chunk.length;
      this.#writer.send(FrameType.EgressData, 0, this.#stream, chunk);
      connection.count('in', chunk.length);
    }
    // Lets the stream read on, and find its end.
    if (stream.readableLength === 0) stream.read(0);
  }

  #remoteEnded(): void {
    this.#hasRemoteEnded = true;
    if (!this.#isClosed) this.#writer.send(FrameType.EgressData, FrameFlag.End, this.#stream, NOTHING);
  }

  /** After an end from both sides there is nothing to tell: the sandbox closes its end of the stream by itself. */
  #remoteClosed(): void {
    if (this.#hasRemoteEnded && this.#hasSandboxEnded) this.#isClosed = true;
    else this.fail(new EgressError('ECONNRESET', 'the connection was closed'));
  }

  #sendJson(type: FrameType, value: EgressPeer | EgressFailure): void {
    this.#writer.send(type, 0, this.#stream, Buffer.from(JSON.stringify(value)));
  }
}

function read(stream: Duplex, bytes: number): Buffer | null {
  return stream.read(bytes) as Buffer | null;
}

/** Codes and reasons of the broker are for tenants; of other errors only the code is. */
export function failureOf(error: unknown): EgressFailure {
  if (error instanceof EgressError) return { code: error.code, reason: error.message };
  const { code } = error as NodeJS.ErrnoException;
  return { code: code ?? 'EIO', reason: 'the connection broke off' };
}
