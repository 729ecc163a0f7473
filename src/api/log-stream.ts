/** Live log records as server-sent events (HTML standard, 9.2), until the reader leaves or loses the right to read. */
import { problemOf, toBerthError } from '../contracts/errors.ts';
import type { LogRecord } from '../contracts/model.ts';
import type { LogFilter, Logs } from '../logs/logs.ts';
import { apiLimits } from './api-limits.ts';
import type { EventSink } from './route.ts';
import { viewLog } from './views.ts';

export interface StreamControls {
  readonly sink: EventSink;
  /** Rejects when the token no longer holds, or the tenant is gone. */
  readonly recheck: () => Promise<void>;
  readonly checkMs?: number;
  readonly pingMs?: number;
}

/** Resolves when the stream is over. A slow reader loses records (the log says how many); it holds up nobody. */
export async function streamLogs(
  logs: Pick<Logs, 'subscribe'>,
  filter: LogFilter,
  controls: StreamControls,
): Promise<void> {
  const { sink, recheck } = controls;
  const over = new AbortController();
  const signal = AbortSignal.any([sink.signal, over.signal]);
  const subscription = logs.subscribe(filter, signal);
  let refusal: unknown = null;
  const stop = (reason: unknown) => {
    refusal ??= reason;
    over.abort();
    subscription.close();
  };
  const { checkMs = apiLimits.logStreamCheckMs.value, pingMs = apiLimits.logStreamPingMs.value } = controls;
  const checks = repeat(checkMs, () => recheck().catch(stop));
  const pings = repeat(pingMs, () => sink.send(': ping\n\n').catch(stop));
  try {
    await sink.send(': open\n\n');
    let number = 0;
    for await (const record of subscription) await sink.send(eventOf(record, (number += 1)));
    if (refusal !== null && !sink.signal.aborted) await sink.send(closedEvent(refusal));
  } finally {
    clearInterval(checks);
    clearInterval(pings);
    subscription.close();
  }
}

/** One event, written at once: some readers do not put halves together. */
function eventOf(record: LogRecord, number: number): string {
  return `id: ${record.at}.${number}\ndata: ${JSON.stringify(viewLog(record))}\n\n`;
}

function closedEvent(reason: unknown): string {
  return `event: closed\ndata: ${JSON.stringify(problemOf(toBerthError(reason)))}\n\n`;
}

/** As setInterval, but never two at once. */
function repeat(everyMs: number, task: () => Promise<void>): NodeJS.Timeout {
  let isBusy = false;
  return setInterval(() => {
    if (isBusy) return;
    isBusy = true;
    void task().finally(() => (isBusy = false));
  }, everyMs);
}
