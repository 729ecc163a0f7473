/** The log of a container as webtask's clients read it (webtask contract, 1.7). Their parser is not one of server-sent events. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LogLevel } from '../contracts/frames.ts';
import type { FunctionName, TenantId } from '../contracts/ids.ts';
import type { LogRecord } from '../contracts/model.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Logs } from '../logs/logs.ts';
import type { RunLines } from './run-lines.ts';
import { webtaskLimits } from './webtask-limits.ts';

/** The node client ignores events of another name than `data`. */
const PING_EVERY_MS = webtaskLimits.webtaskLogPingMs.value;
const PING = 'event: ping\ndata: {}\n\n';
const CHECK_EVERY_MS = webtaskLimits.webtaskLogCheckMs.value;
const WRITE_MS = webtaskLimits.webtaskLogWriteMs.value;
/** What may wait for a slow reader; live lines of the platform beyond that are left out. */
const MAX_WAITING_BYTES = 1024 * 1024;

export interface LogStreamParts {
  readonly logs: Logs;
  readonly lines: RunLines;
  readonly clock: Clock;
}

export interface LogStreamRequest {
  readonly tenant: TenantId;
  /** null: all */
  readonly fn: FunctionName | null;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Resolves false when the reader may not read on. */
  readonly mayStillRead: () => Promise<boolean>;
}

/** Streams until the reader goes, its right ends, or `signal` is aborted. Never throws because of the reader. */
export async function streamLogs(
  parts: LogStreamParts,
  stream: LogStreamRequest,
  signal: AbortSignal,
): Promise<void> {
  const { response, tenant, fn } = stream;
  const end = new AbortController();
  const stop = (): void => end.abort();
  const isEvents = (stream.request.headers.accept ?? '').includes('text/event-stream');
  const write = (event: string): boolean => !response.destroyed && response.write(event);
  const send = (entry: Entry): boolean =>
    write(isEvents ? `data: ${json(tenant, entry)}\n\n` : `${json(tenant, entry)}\n`);
  signal.addEventListener('abort', stop);
  response.once('close', stop);
  const stopLines = parts.lines.listen(tenant, (text) => {
    if (fn === null && response.writableLength < MAX_WAITING_BYTES)
      send({ at: parts.clock.now(), level: 'info', text });
  });
  const stopChecks = keepUp({ ...stream, clock: parts.clock, ping: () => isEvents && write(PING), stop });
  try {
    response.writeHead(200, headersOf(isEvents));
    response.flushHeaders();
    const subscription = parts.logs.subscribe({ tenant, ...(fn === null ? {} : { fn }) }, end.signal);
    for await (const record of subscription) {
      if (end.signal.aborted) break;
      if (!send(record)) await drained(response, end.signal, parts.clock);
    }
  } finally {
    stopLines();
    stopChecks();
    signal.removeEventListener('abort', stop);
    response.end();
  }
}

type Entry = Pick<LogRecord, 'at' | 'level' | 'text'> & Partial<LogRecord>;

function headersOf(isEvents: boolean): Record<string, string> {
  return {
    'content-type': isEvents ? 'text/event-stream' : 'application/x-ndjson',
    'cache-control': 'no-store',
    // for proxies that would collect the stream
    'x-accel-buffering': 'no',
  };
}

/** A line as bunyan, the logger of webtask's clients, writes it. */
function json(tenant: TenantId, entry: Entry): string {
  return JSON.stringify({
    v: 0,
    hostname: 'berth',
    pid: 1,
    name: entry.fn ?? 'berth',
    level: LogLevel[entry.level],
    time: new Date(entry.at).toISOString(),
    msg: entry.text,
    container: tenant,
    ...(entry.invocation === undefined || entry.invocation === null ? {} : { req_id: entry.invocation }),
    ...(entry.revision === undefined || entry.revision === null ? {} : { revision: entry.revision }),
    ...(entry.source === undefined ? {} : { source: entry.source }),
  });
}

/** Pings the reader and looks whether it may still read. @returns a function that ends that */
function keepUp(parts: {
  readonly clock: Clock;
  readonly ping: () => unknown;
  readonly mayStillRead: () => Promise<boolean>;
  readonly stop: () => void;
}): () => void {
  let isOver = false;
  let sincePing = 0;
  let cancel = (): void => undefined;
  const next = (): void => {
    cancel = parts.clock.after(CHECK_EVERY_MS, () => void check());
  };
  const check = async (): Promise<void> => {
    const mayRead = await parts.mayStillRead();
    if (isOver) return;
    if (!mayRead) return parts.stop();
    sincePing += CHECK_EVERY_MS;
    if (sincePing >= PING_EVERY_MS) {
      sincePing = 0;
      parts.ping();
    }
    next();
  };
  next();
  return () => {
    isOver = true;
    cancel();
  };
}

/** Until the reader has taken what waits, or is cut off for taking nothing. Ends with the signal, so with the connection. */
function drained(response: ServerResponse, signal: AbortSignal, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.after(WRITE_MS, () => response.destroy());
    const done = (): void => {
      cancel();
      response.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    response.once('drain', done);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
