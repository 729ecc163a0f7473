/** `process.stdout`, `process.stderr` and `console` of tenants' code: Node's own formatting, into the log. */
import { Writable } from 'node:stream';
import type { LogLevelName } from '../contracts/frames.ts';
import type { LogSink } from './log-sink.ts';

/** Text of one stream that has no line feed yet, and the invocation that wrote it. */
interface Rest {
  text: string;
  stream: number;
}

class LogStream extends Writable {
  readonly fd: number;
  readonly isTTY = false;
  readonly #sink: LogSink;
  readonly #level: LogLevelName;
  #rest: Rest | null = null;
  /** Set while a method of `console` runs: what it writes is one record of this level. */
  consoleLevel: LogLevelName | null = null;

  constructor(sink: LogSink, fd: number, level: LogLevelName) {
    super({ decodeStrings: false, highWaterMark: 1024 * 1024, autoDestroy: false, emitClose: false });
    this.#sink = sink;
    this.fd = fd;
    this.#level = level;
    // pino writes to the descriptor itself unless it sees that `write` was replaced (pino/lib/tools.js, hasBeenTampered);
    // the descriptor leads nowhere, so the logs of every Fastify app would be lost.
    this.write = this.write.bind(this);
  }

  override _write(chunk: Buffer | string, encoding: string, done: (error?: Error | null) => void): void {
    const text = typeof chunk === 'string' ? decoded(chunk, encoding) : chunk.toString('utf8');
    if (this.consoleLevel !== null)
      this.#sink.log(this.consoleLevel, text.endsWith('\n') ? text.slice(0, -1) : text);
    else this.#takeLines(text);
    done();
  }

  override _destroy(_error: Error | null, done: (error?: Error | null) => void): void {
    this.flushRest();
    done();
  }

  /** Logs what waits for its line feed. */
  flushRest(): void {
    const rest = this.#rest;
    this.#rest = null;
    if (rest !== null) this.#sink.log(this.#level, rest.text, rest.stream);
  }

  #takeLines(text: string): void {
    const stream = this.#sink.currentStream;
    if (this.#rest !== null && this.#rest.stream !== stream) this.flushRest();
    let whole = (this.#rest?.text ?? '') + text;
    this.#rest = null;
    let end: number;
    while ((end = whole.indexOf('\n')) !== -1) {
      this.#sink.log(this.#level, whole.slice(0, end), stream);
      whole = whole.slice(end + 1);
    }
    if (whole.length >= this.#sink.lineBytes) this.#sink.log(this.#level, whole, stream);
    else if (whole.length > 0) this.#rest = { text: whole, stream };
  }
}

function decoded(chunk: string, encoding: string): string {
  const isPlain = encoding === 'utf8' || encoding === 'utf-8' || encoding === 'latin1';
  return isPlain ? chunk : Buffer.from(chunk, encoding as BufferEncoding).toString('utf8');
}

export interface LogStreams {
  /** Logs what waits for its line feed. */
  flush(): void;
}

const levels = new Map<string, LogLevelName>([
  ['debug', 'debug'],
  ['warn', 'warn'],
  ['error', 'error'],
  ['trace', 'error'],
]);

/** Puts the streams in place; `console` of Node writes to whatever `process.stdout` is when it is first used. */
export function installLogStreams(sink: LogSink): LogStreams {
  const stdout = new LogStream(sink, 1, 'info');
  const stderr = new LogStream(sink, 2, 'error');
  for (const [name, stream] of [
    ['stdout', stdout],
    ['stderr', stderr],
  ] as const) {
    Object.defineProperty(process, name, {
      value: stream,
      configurable: true,
      enumerable: true,
      writable: true,
    });
  }
  for (const [name, method] of Object.entries(console)) {
    if (typeof method === 'function' && name !== 'Console') wrap(name, method as Method, [stdout, stderr]);
  }
  return {
    flush: () => {
      stdout.flushRest();
      stderr.flushRest();
    },
  };
}

type Method = (...values: unknown[]) => unknown;

function wrap(name: string, method: Method, streams: readonly [LogStream, LogStream]): void {
  const level = levels.get(name) ?? 'info';
  const [stdout, stderr] = streams;
  const wrapped = (...values: unknown[]): unknown => {
    const before = stdout.consoleLevel;
    stdout.consoleLevel = level;
    stderr.consoleLevel = level;
    try {
      return method(...values);
    } finally {
      stdout.consoleLevel = before;
      stderr.consoleLevel = before;
    }
  };
  Object.defineProperty(wrapped, 'name', { value: name });
  (console as unknown as Record<string, Method>)[name] = wrapped;
}
