/**
 * What a `net.Socket` holds instead of a TCP handle when it leads out of the sandbox: a stream of the channel. Everything
 * above it (TLS, HTTP, HTTP/2, undici, drivers of databases) is Node's own and does not notice.
 */
import { constants } from 'node:os';
import type net from 'node:net';
import type { EgressFailure, EgressPeer } from '../../contracts/frames.ts';
import { connectError, readError } from './egress-error.ts';
import type { EgressPort } from './egress-port.ts';
import type { EgressStream, EgressStreamEvents } from './egress-stream.ts';
import {
  type ConnectRequest,
  JSStream,
  type JsStreamHandle,
  type SocketInternals,
  type StreamRequest,
} from './internals.ts';

export interface HandleOptions {
  readonly port: EgressPort;
  readonly socket: net.Socket;
  /** The name to connect to; null: the address that Node comes with. */
  readonly name: string | null;
  readonly family: 0 | 4 | 6;
}

const CANCELLED = -constants.errno.ECANCELED;
const OK = 0;
/** What the sandbox's own end seems to be (RFC 6335: dynamic ports). */
const LOCAL_ADDRESS = '127.0.0.1';
const FIRST_PORT = 49_152;
const PORTS = 16_384;
let opened = 0;

export class SocketHandle implements EgressStreamEvents {
  readonly handle: JsStreamHandle = new JSStream();
  readonly #options: HandleOptions;
  readonly #localPort = FIRST_PORT + (opened++ % PORTS);
  #stream: EgressStream | null = null;
  #request: ConnectRequest | null = null;
  #peer: (EgressPeer & { readonly port: number }) | null = null;
  #target = { host: '', port: 0 };
  #isReading = false;
  #isClosed = false;
  /** As `socket.unref()` has it: whether its thread lives on for it. */
  #isRef = true;
  #isHeld = false;
  #writes: StreamRequest[] = [];
  #shutdown: StreamRequest | null = null;

  constructor(options: HandleOptions) {
    this.#options = options;
    // The first five are called by JSStream in C++, the others by lib/net.js.
    Object.assign(this.handle, {
      isClosing: () => this.#isClosed,
      onreadstart: () => this.#read(true),
      onreadstop: () => this.#read(false),
      onwrite: (request: StreamRequest, chunks: readonly Uint8Array[]) => this.#write(request, chunks),
      onshutdown: (request: StreamRequest) => this.#end(request),
      connect: (request: ConnectRequest, address: string, port: number) =>
        this.#connect(request, address, port),
      connect6: (request: ConnectRequest, address: string, port: number) =>
        this.#connect(request, address, port),
      close: (done?: () => void) => this.#close(done),
      getsockname: (out: object) => this.#sockname(out),
      getpeername: (out: object) => this.#peername(out),
      setNoDelay: () => OK,
      setKeepAlive: () => OK,
      ref: () => this.#setRef(true),
      unref: () => this.#setRef(false),
      hasRef: () => this.#isRef,
    });
  }

  // --- what the channel says

  onOpened(peer: EgressPeer): void {
    const { socket, name } = this.#options;
    this.#peer = { ...peer, port: this.#target.port };
    const request = this.#request;
    this.#request = null;
    if (name !== null) socket.emit('lookup', null, peer.address, peer.family, name);
    // TLS holds this handle inside its own, which is the socket's.
    const { _handle: handle } = internals(socket);
    if (handle !== null) request?.oncomplete(OK, handle, request, true, true);
  }

  onData(chunk: Uint8Array): void {
    this.handle.readBuffer(chunk);
  }

  onEnd(): void {
    this.handle.emitEOF();
  }

  onWritten(): void {
    const writes = this.#writes;
    this.#writes = [];
    // Node learns of the request only when `onwrite` has returned.
    process.nextTick(() => {
      for (const request of writes) this.handle.finishWrite(request, OK);
    });
  }

  onFailed(failure: EgressFailure): void {
    const { socket, name } = this.#options;
    const { host, port } = this.#target;
    if (this.#peer === null) {
      const error = connectError(failure, host, port);
      if (name !== null && 'hostname' in error) socket.emit('lookup', error, undefined, undefined, name);
      internals(socket).connecting = false;
      return void socket.destroy(error);
    }
    // With a TLS socket on top nobody listens for errors down here: to that one the connection is cut off.
    if (socket.listenerCount('error') > 0) return void socket.destroy(readError(failure));
    this.handle.emitEOF();
    socket.destroy();
  }

  // --- what Node says

  #connect(request: ConnectRequest, address: string, port: number): number {
    const { name, family } = this.#options;
    this.#request = request;
    this.#target = { host: name ?? address, port };
    this.#stream = this.#options.port.connect({ ...this.#target, family }, this);
    this.#updateHold();
    if (this.#isReading) this.#stream.resume();
    return OK;
  }

  #setRef(isRef: boolean): void {
    this.#isRef = isRef;
    this.#updateHold();
  }

  #updateHold(): void {
    const isHeld = this.#isRef && this.#stream !== null && !this.#isClosed;
    if (isHeld === this.#isHeld) return;
    this.#isHeld = isHeld;
    if (isHeld) this.#options.port.hold();
    else this.#options.port.letGo();
  }

  #read(isReading: boolean): number {
    this.#isReading = isReading;
    if (isReading) this.#stream?.resume();
    else this.#stream?.pause();
    return OK;
  }

  #write(request: StreamRequest, chunks: readonly Uint8Array[]): number {
    this.#writes[this.#writes.length] = request;
    if (this.#isClosed) setImmediate(() => this.#cancel());
    else this.#stream?.write(chunks);
    return OK;
  }

  #end(request: StreamRequest): number {
    this.#shutdown = request;
    this.#stream?.end();
    process.nextTick(() => this.#finishShutdown(OK));
    return OK;
  }

  #finishShutdown(status: number): void {
    const request = this.#shutdown;
    this.#shutdown = null;
    if (request !== null) this.handle.finishShutdown(request, status);
  }

  #close(done?: () => void): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stream?.close();
    this.#updateHold();
    setImmediate(() => {
      this.#cancel();
      done?.();
    });
  }

  /** Nobody waits for ever. */
  #cancel(): void {
    const writes = this.#writes;
    this.#writes = [];
    for (const request of writes) this.handle.finishWrite(request, CANCELLED);
    this.#finishShutdown(CANCELLED);
  }

  #sockname(out: object): number {
    Object.assign(out, { address: LOCAL_ADDRESS, family: 'IPv4', port: this.#localPort });
    return OK;
  }

  #peername(out: object): number {
    if (this.#peer === null) return -constants.errno.ENOTCONN;
    const { address, family, port } = this.#peer;
    Object.assign(out, { address, family: `IPv${family}`, port });
    return OK;
  }
}

function internals(socket: net.Socket): SocketInternals {
  return socket as unknown as SocketInternals;
}
