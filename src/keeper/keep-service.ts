/** Serves the platform's requests and owns the program of the service. */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Stream,
} from 'node:http2';
import { connect } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';
import {
  MAX_SERVICE_CONNECTIONS,
  SERVICE_SESSION_MEGABYTES,
  type ServiceStart,
} from '../contracts/services.ts';

const LOOPBACK = '127.0.0.1';
const MAX_START_BYTES = 1024 * 1024;
const STARTED = 200;
const IS_STARTED_ALREADY = 409;
const CANNOT_START = 500;
const NO_SERVICE = 502;
const UNKNOWN = 404;
/** What the engine and its init pass on when the container shall stop (STOPSIGNAL of an image may be any of them). */
const LAST_WORDS_MS = 300;
/** For the platform to take what it is sent. */
const LEAVE_MS = 500;
const stopSignals = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

export interface KeptService {
  readonly connection: Duplex;
  /** On which the service listens. */
  readonly port: number;
  readonly command: readonly string[];
}

export function keepService({ connection, port, command }: KeptService): void {
  const session = performServerHandshake(connection, {
    settings: { maxConcurrentStreams: MAX_SERVICE_CONNECTIONS },
    maxSessionMemory: SERVICE_SESSION_MEGABYTES,
  });
  let child: ChildProcess | null = null;
  let stopSignal: NodeJS.Signals = 'SIGTERM';
  session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    // Its end, in whatever way, is the end of that connection alone.
    stream.on('error', () => stream.destroy());
    const method = headers[':method'];
    if (method === 'CONNECT') return handThrough(stream, port);
    if (method !== 'POST' || headers[':path'] !== '/start') return answer(stream, UNKNOWN);
    if (child !== null) return answer(stream, IS_STARTED_ALREADY);
    void readStart(stream).then(
      (start) => {
        ({ stopSignal } = start);
        child = run(command, start, stream);
      },
      () => stream.destroy(),
    );
  });
  const stop = (): void => {
    if (child === null) process.exit(0);
    child.kill(stopSignal);
  };
  for (const signal of stopSignals) process.on(signal, stop);
  // The platform is gone: an orderly end, so that the data is whole.
  session.on('error', () => session.destroy());
  session.on('close', stop);
  connection.on('error', () => session.destroy());
}

function answer(stream: ServerHttp2Stream, status: number): void {
  stream.respond({ ':status': status }, { endStream: true });
}

function handThrough(stream: ServerHttp2Stream, port: number): void {
  const socket = connect({ port, host: LOOPBACK, allowHalfOpen: true, noDelay: true });
  const refuse = (): void => {
    if (!stream.destroyed) answer(stream, NO_SERVICE);
  };
  socket.once('error', refuse);
  stream.once('close', () => socket.destroy());
  socket.once('connect', () => {
    socket.off('error', refuse);
    if (stream.destroyed) return void socket.destroy();
    stream.respond({ ':status': STARTED });
    // Whichever breaks, the other one is told by a reset.
    pipeline(stream, socket, (error) => error && stream.close(constants.NGHTTP2_CONNECT_ERROR));
    pipeline(socket, stream, (error) => error && stream.close(constants.NGHTTP2_CONNECT_ERROR));
  });
}

async function readStart(stream: ServerHttp2Stream): Promise<ServiceStart> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_START_BYTES) throw new RangeError('too long');
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as ServiceStart;
}

/** The body of the answer is what the program writes, its trailer how it ended. Its end is the keeper's. */
function run(
  command: readonly string[],
  { env, input }: ServiceStart,
  stream: ServerHttp2Stream,
): ChildProcess {
  const [file = '', ...args] = command;
  const child = spawn(file, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  let ending = '';
  const leave = (code: number): void => {
    setTimeout(() => process.exit(code), LEAVE_MS);
    const { session } = stream;
    if (stream.destroyed || session === undefined) process.exit(code);
    // The platform hangs up when it has read how it ended. Were the keeper gone before, a request that the platform
    // writes at that moment would break its connection, with these words unread.
    session.once('close', () => process.exit(code));
    stream.end();
  };
  stream.once('wantTrailers', () => stream.sendTrailers({ ending }));
  child.once('spawn', () => {
    stream.respond({ ':status': STARTED }, { waitForTrailers: true });
    for (const output of [child.stdout, child.stderr]) output.pipe(stream, { end: false });
  });
  child.once('error', () => {
    if (child.pid !== undefined) return;
    setTimeout(() => process.exit(1), LEAVE_MS);
    stream.once('close', () => process.exit(1));
    answer(stream, CANNOT_START);
  });
  child.once('exit', (code, signal) => {
    ending = signal ?? `exit code ${code}`;
    // What is left in the pipes is still read, unless somebody else holds them open.
    const timer = setTimeout(() => leave(code ?? 1), LAST_WORDS_MS);
    child.once('close', () => {
      clearTimeout(timer);
      leave(code ?? 1);
    });
  });
  // A program that does not read its input is none of our business.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return child;
}
