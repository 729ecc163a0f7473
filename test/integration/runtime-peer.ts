/** A minimal host for the runtime: starts the built bundle as a plain process on a real socket and speaks the protocol with it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import {
  FrameFlag,
  FrameType,
  failureSchema,
  helloSchema,
  INITIAL_WINDOW_BYTES,
  LEAST_GRANT_BYTES,
  loadedSchema,
  MAX_DATA_BYTES,
  MAX_SANDBOX_PAYLOAD_BYTES,
  type Failure,
  type Hello,
  type Loaded,
  type LoadSpec,
} from '../../src/contracts/frames.ts';
import { decodeResponseHead, encodeLoad, encodeRequestHead } from '../../src/kernel/frame-heads.ts';
import { FrameParser } from '../../src/kernel/frame-parser.ts';
import { FrameWriter } from '../../src/kernel/frame-writer.ts';
import { buildRuntimeBundle } from '../../src/modules/runtime-bundle.ts';

const DEADLINE_MS = 20_000;

export interface PeerRequest {
  readonly method?: string;
  readonly url?: string;
  readonly basePath?: string;
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
  readonly isUpgrade?: boolean;
  /** The body is not complete yet: `write` and `end` follow. */
  readonly isOpen?: boolean;
}

export interface LogLine {
  readonly level: number;
  readonly stream: number;
  readonly text: string;
}

/** One invocation as the host sees it; bodies are collected unless `onData` is set. */
export class PeerInvocation {
  readonly stream: number;
  readonly #peer: RuntimePeer;
  status = 0;
  headers: readonly string[] = [];
  chunks: Buffer[] = [];
  receivedBytes = 0;
  isEnded = false;
  isDone = false;
  failure: Failure | null = null;
  sendCredit = INITIAL_WINDOW_BYTES;
  receiveCredit = INITIAL_WINDOW_BYTES;
  /** Grants credit for what has come as it comes. */
  isGranting = true;

  constructor(peer: RuntimePeer, stream: number) {
    this.#peer = peer;
    this.stream = stream;
  }

  get body(): string {
    return Buffer.concat(this.chunks).toString();
  }

  get isOver(): boolean {
    return this.isDone || this.failure !== null;
  }

  header(name: string): string | undefined {
    const index = this.headers.findIndex((text, at) => at % 2 === 0 && text.toLowerCase() === name);
    return index === -1 ? undefined : this.headers[index + 1];
  }

  /** Resolves when the invocation is over. */
  async over(): Promise<this> {
    await this.#peer.until(() => this.isOver, `the end of stream ${this.stream}`);
    return this;
  }

  async begun(): Promise<this> {
    await this.#peer.until(() => this.status !== 0 || this.isOver, `the head of stream ${this.stream}`);
    return this;
  }

  /** Sends body bytes under the credit that there is. */
  async write(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      await this.#peer.until(() => this.sendCredit > 0 || this.isOver, 'credit');
      if (this.isOver) return;
      const size = Math.min(this.sendCredit, MAX_DATA_BYTES, bytes.length - at);
      this.sendCredit -= size;
      this.#peer.writer.send(FrameType.Data, 0, this.stream, bytes.subarray(at, at + size));
      at += size;
    }
  }

  end(): void {
    this.#peer.writer.send(FrameType.Data, FrameFlag.End, this.stream);
  }

  cancel(): void {
    this.#peer.writer.send(FrameType.Cancel, 0, this.stream, Buffer.of(1));
  }

  grant(bytes: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32LE(bytes);
    this.receiveCredit += bytes;
    this.#peer.writer.send(FrameType.Window, 0, this.stream, payload);
  }
}

export class RuntimePeer {
  readonly child: ChildProcess;
  readonly writer: FrameWriter;
  readonly hello: Hello;
  readonly #server: net.Server;
  readonly #socket: net.Socket;
  readonly #dir: string;
  readonly #invocations = new Map<number, PeerInvocation>();
  #nextStream = 1;
  #wake = new Set<() => void>();
  loaded: Loaded | null = null;
  fatal: Failure | null = null;
  readonly logs: LogLine[] = [];
  dropped = 0;
  readonly pongs: number[] = [];
  /** What was against the protocol. */
  readonly violations: string[] = [];
  exit: { code: number | null; signal: string | null } | null = null;
  output = '';

  private constructor(options: {
    child: ChildProcess;
    server: net.Server;
    socket: net.Socket;
    dir: string;
    hello: Hello;
    parser: { onFrame: (type: number, flags: number, stream: number, payload: Buffer) => void };
  }) {
    this.child = options.child;
    this.#server = options.server;
    this.#socket = options.socket;
    this.#dir = options.dir;
    this.hello = options.hello;
    this.writer = new FrameWriter(options.socket);
    options.parser.onFrame = (type, flags, stream, payload) => this.#onFrame(type, flags, stream, payload);
    this.child.on('exit', (code, signal) => {
      this.exit = { code, signal };
      this.#changed();
    });
    this.child.stderr?.on('data', (text: Buffer) => (this.output += text.toString()));
    this.child.stdout?.on('data', (text: Buffer) => (this.output += text.toString()));
    this.#socket.on('error', () => undefined);
  }

  /** Starts a sandbox process and waits for its Hello. */
  static async start(nodeArguments: readonly string[] = []): Promise<RuntimePeer> {
    const dir = await mkdtemp(path.join(os.tmpdir(), 'berth-peer-'));
    const bundle = await buildRuntimeBundle({ outDir: dir });
    const socketPath = path.join(dir, 'channel.sock');
    const server = net.createServer().listen(socketPath);
    await once(server, 'listening');
    const child = spawn(process.execPath, [...nodeArguments, bundle, socketPath], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { TZ: 'UTC', PATH: '/usr/bin:/bin', HOST_ONLY: 'x' },
      cwd: '/',
    });
    const [socket] = (await once(server, 'connection', { signal: AbortSignal.timeout(DEADLINE_MS) })) as [
      net.Socket,
    ];
    const handler = {
      onFrame: (_type: number, _flags: number, _stream: number, _payload: Buffer): void => {},
    };
    const parser = new FrameParser(MAX_SANDBOX_PAYLOAD_BYTES, (type, flags, stream, payload) =>
      handler.onFrame(type, flags, stream, payload),
    );
    const hello = new Promise<Hello>((resolve) => {
      handler.onFrame = (_type, _flags, _stream, payload) =>
        resolve(helloSchema.parse(JSON.parse(payload.toString())));
    });
    socket.on('data', (chunk: Buffer) => parser.push(chunk));
    return new RuntimePeer({ child, server, socket, dir, hello: await hello, parser: handler });
  }

  /** Sends Load without waiting. */
  sendLoad(
    code: string | Buffer,
    spec: Partial<LoadSpec> = {},
    sourceMap: Uint8Array | null = null,
    bytecode: Uint8Array | null = null,
  ): void {
    const whole: Omit<LoadSpec, 'parts'> = {
      tenant: 'acme',
      fn: 'hello',
      revision: 'r0123456789abcdef01234567',
      form: 'auto',
      moduleKind: 'commonjs',
      evaluate: 'script',
      filename: 'hello.js',
      secrets: {},
      env: {},
      meta: {},
      webtask: null,
      ...spec,
      limits: {
        wallMs: 30_000,
        logLineBytes: 8_192,
        logBytesPerSecond: 262_144,
        responseHeaderBytes: 16_384,
        memoryBytes: 268_435_456,
        ...spec.limits,
      },
    };
    const payload = encodeLoad(whole, { code: Buffer.from(code), sourceMap, bytecode });
    this.writer.send(FrameType.Load, 0, 0, payload);
  }

  /** As for a sandbox that goes to the pool. */
  exercise(withFetch: boolean): void {
    this.writer.send(FrameType.Exercise, 0, 0, Buffer.of(withFetch ? 1 : 0));
  }

  async load(
    code: string | Buffer,
    spec: Partial<LoadSpec> = {},
    sourceMap: Uint8Array | null = null,
    bytecode: Uint8Array | null = null,
  ): Promise<Loaded> {
    this.sendLoad(code, spec, sourceMap, bytecode);
    await this.until(() => this.loaded !== null, 'Loaded');
    return this.loaded!;
  }

  open(request: PeerRequest = {}): PeerInvocation {
    const stream = this.#nextStream++;
    const invocation = new PeerInvocation(this, stream);
    const head = encodeRequestHead({
      method: request.method ?? 'GET',
      url: request.url ?? '/',
      basePath: request.basePath ?? '',
      remoteAddress: '192.0.2.1',
      scheme: 'https',
      invocation: `i${stream}`,
      headers: request.headers ?? ['Host', 'acme.example'],
    });
    const body = Buffer.from(request.body ?? '');
    invocation.sendCredit -= body.length;
    const flags = (request.isOpen ? 0 : FrameFlag.End) | (request.isUpgrade ? FrameFlag.Upgrade : 0);
    this.#invocations.set(stream, invocation);
    this.writer.send(FrameType.Request, flags, stream, Buffer.concat([head, body]));
    return invocation;
  }

  /** One whole exchange. */
  async call(request: PeerRequest = {}): Promise<PeerInvocation> {
    return this.open(request).over();
  }

  ping(nonce: number): void {
    this.writer.send(FrameType.Ping, 0, nonce);
  }

  /** Waits for a condition that changes with frames or the exit. @throws after 20 s */
  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS;
    while (!condition()) {
      const left = deadline - Date.now();
      if (left <= 0)
        throw new Error(
          `no ${what} within ${DEADLINE_MS} ms; output: ${this.output}; logs: ${JSON.stringify(this.logs)}`,
        );
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          this.#wake.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, Math.min(left, 1_000));
        this.#wake.add(wake);
      });
    }
  }

  /** Closes the host's end, as a host that died. */
  disconnect(): void {
    this.writer.close();
    this.#socket.destroy();
  }

  async stop(): Promise<void> {
    this.writer.close();
    this.#socket.destroy();
    if (this.exit === null) {
      this.child.kill('SIGKILL');
      await once(this.child, 'exit');
    }
    this.#server.close();
    await rm(this.#dir, { recursive: true, force: true });
  }

  #changed(): void {
    for (const wake of this.#wake) wake();
  }

  #onFrame(type: number, flags: number, stream: number, payload: Buffer): void {
    const invocation = this.#invocations.get(stream);
    const known = (): PeerInvocation | null => {
      if (invocation === undefined || invocation.isOver)
        this.violations.push(`frame ${type} on stream ${stream}`);
      return invocation ?? null;
    };
    switch (type) {
      case FrameType.Loaded:
        this.loaded = loadedSchema.parse(JSON.parse(payload.toString()));
        break;
      case FrameType.Fatal:
        this.fatal = failureSchema.parse(JSON.parse(payload.toString()));
        break;
      case FrameType.Log:
        this.logs.push({ level: payload[0]!, stream, text: payload.toString('utf8', 1) });
        break;
      case FrameType.LogDropped:
        this.dropped += payload.readUInt32LE(0);
        break;
      case FrameType.Pong:
        this.pongs.push(stream);
        break;
      default: {
        const of = known();
        if (of !== null) this.#onInvocationFrame(of, { type, flags, payload });
      }
    }
    this.#changed();
  }

  #onInvocationFrame(of: PeerInvocation, frame: { type: number; flags: number; payload: Buffer }): void {
    const { type, flags, payload } = frame;
    if (type === FrameType.Response) {
      if (of.status !== 0) this.violations.push('a second response');
      const { head, body } = decodeResponseHead(payload);
      of.status = head.status;
      of.headers = head.headers;
      this.#take(of, body, flags);
    } else if (type === FrameType.Data) {
      if (of.status === 0 || of.isEnded || (payload.length === 0 && (flags & FrameFlag.End) === 0))
        this.violations.push('data out of order');
      this.#take(of, payload, flags);
    } else if (type === FrameType.Window) {
      const bytes = payload.readUInt32LE(0);
      of.sendCredit += bytes;
      if (bytes < LEAST_GRANT_BYTES) this.violations.push('less credit than may be granted at once');
      if (of.sendCredit > INITIAL_WINDOW_BYTES) this.violations.push('credit for what was not sent');
    } else if (type === FrameType.Done) of.isDone = true;
    else if (type === FrameType.Failed) of.failure = failureSchema.parse(JSON.parse(payload.toString()));
    else this.violations.push(`frame ${type}`);
  }

  #take(of: PeerInvocation, bytes: Buffer, flags: number): void {
    of.receiveCredit -= bytes.length;
    of.receivedBytes += bytes.length;
    if (bytes.length > MAX_DATA_BYTES || of.receiveCredit < 0)
      this.violations.push('more than there is credit for');
    if (of.isGranting && bytes.length > 0) {
      if (of.receivedBytes <= 4 * 1024 * 1024) of.chunks.push(Buffer.from(bytes));
      if ((flags & FrameFlag.Done) === 0) of.grant(bytes.length);
    }
    if ((flags & FrameFlag.End) !== 0) of.isEnded = true;
    if ((flags & FrameFlag.Done) !== 0) of.isDone = true;
  }
}
