import { describe, expect, it } from 'vitest';
import { BerthError } from '../contracts/errors.ts';
import { functionNameSchema, tenantIdSchema } from '../contracts/ids.ts';
import type { LogRecord } from '../contracts/model.ts';
import type { LogSubscription } from '../logs/logs.ts';
import { streamLogs } from './log-stream.ts';

const tenant = tenantIdSchema.parse('acme');
const record: LogRecord = {
  at: 5,
  tenant,
  fn: functionNameSchema.parse('hello'),
  revision: null,
  invocation: null,
  source: 'console',
  level: 'info',
  text: 'a\n\nb',
};

/** A subscription that gives these records, and then none until it is closed. */
class Pushed implements LogSubscription {
  readonly records: readonly LogRecord[];
  readonly #closed = Promise.withResolvers<void>();
  isClosed = false;

  constructor(...records: readonly LogRecord[]) {
    this.records = records;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<LogRecord> {
    yield* this.records;
    await this.#closed.promise;
  }

  close(): void {
    this.isClosed = true;
    this.#closed.resolve();
  }
}

function reader() {
  const gone = new AbortController();
  const sent: string[] = [];
  const waiting: (() => void)[] = [];
  return {
    sent,
    gone,
    sink: {
      signal: gone.signal,
      async send(text: string) {
        gone.signal.throwIfAborted();
        sent.push(text);
        for (const wake of waiting.splice(0)) wake();
      },
    },
    async until(count: number): Promise<void> {
      while (sent.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
}

const good = async () => undefined;

describe('a live log', () => {
  it('writes each record at once as one event, on one line of data', async () => {
    const { sink, sent, gone, until } = reader();
    const subscription = new Pushed(record, record);
    const streaming = streamLogs({ subscribe: () => subscription }, { tenant }, { sink, recheck: good });
    await until(3);
    gone.abort();
    subscription.close();
    await streaming;
    expect(sent[0]).toBe(': open\n\n');
    expect(sent.slice(1).map((text) => text.split('\n')[0])).toEqual(['id: 5.1', 'id: 5.2']);
    expect(sent[1]).toMatch(/^id: 5\.1\ndata: \{.*\}\n\n$/);
  });

  it('pings while nothing happens', async () => {
    const { sink, sent, gone, until } = reader();
    const subscription = new Pushed();
    const controls = { sink, recheck: good, pingMs: 2 };
    const streaming = streamLogs({ subscribe: () => subscription }, { tenant }, controls);
    await until(3);
    gone.abort();
    subscription.close();
    await streaming;
    expect(sent.slice(1, 3)).toEqual([': ping\n\n', ': ping\n\n']);
  });

  it('ends with the problem when the token no longer holds, and lets go of its subscription', async () => {
    const { sink, sent } = reader();
    const subscription = new Pushed();
    const recheck = () => Promise.reject(new BerthError('TOKEN_INVALID', { reason: 'it was revoked' }));
    await streamLogs({ subscribe: () => subscription }, { tenant }, { sink, recheck, checkMs: 2 });
    expect(sent.at(-1)).toMatch(/^event: closed\ndata: \{.*"code":"TOKEN_INVALID".*\}\n\n$/);
    expect(subscription.isClosed).toBe(true);
  });

  it('says nothing of the host when the check itself fails', async () => {
    const { sink, sent } = reader();
    const recheck = () => Promise.reject(new Error('no such file /var/lib/somewhere'));
    await streamLogs({ subscribe: () => new Pushed() }, { tenant }, { sink, recheck, checkMs: 2 });
    expect(sent.at(-1)).toContain('INTERNAL');
    expect(sent.at(-1)).not.toContain('somewhere');
  });

  it('lets go of its subscription when the reader is gone', async () => {
    const { sink, gone, until } = reader();
    const subscription = new Pushed();
    const streaming = streamLogs(
      { subscribe: () => subscription },
      { tenant },
      { sink, recheck: good, pingMs: 2 },
    );
    await until(1);
    gone.abort();
    await streaming;
    expect(subscription.isClosed).toBe(true);
  });
});
