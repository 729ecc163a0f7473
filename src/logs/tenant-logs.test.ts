import { describe, expect, it } from 'vitest';
import type { FunctionName, TenantId } from '../contracts/ids.ts';
import { defaultLimits, type Limits } from '../contracts/limits.ts';
import type { LogRecord } from '../contracts/model.ts';
import { FakeClock, settled } from '../kernel/testing/fake-clock.ts';
import { createLogs } from './tenant-logs.ts';
import type { Logs, LogSubscription } from './logs.ts';

const never = new AbortController().signal;
const acme = 'acme' as TenantId;
const globex = 'globex' as TenantId;

function line(text: string, tenant = acme, fn = 'hello'): LogRecord {
  const invocation = 'i1';
  return {
    at: 1,
    tenant,
    fn: fn as FunctionName,
    revision: null,
    invocation,
    source: 'console',
    level: 'info',
    text,
  };
}

interface Bench {
  readonly logs: Logs;
  readonly clock: FakeClock;
  readonly batches: LogRecord[][];
  readonly pruned: { tenant: string; keep: number }[];
  readonly warnings: string[];
  append: (records: readonly LogRecord[]) => Promise<void>;
}

function makeBench(limits: Partial<Limits> = {}): Bench {
  const clock = new FakeClock();
  const warnings: string[] = [];
  const bench: Omit<Bench, 'logs'> = {
    clock,
    batches: [],
    pruned: [],
    warnings,
    append: (records) => {
      bench.batches.push([...records]);
      return Promise.resolve();
    },
  };
  const logs = createLogs({
    store: {
      appendLogs: (records) => bench.append(records),
      pruneLogs: (tenant, keep) => {
        bench.pruned.push({ tenant, keep });
        return Promise.resolve();
      },
    },
    limitsOf: (tenant) => {
      if (tenant === ('broken' as TenantId)) throw new Error('no such tenant');
      return { ...defaultLimits, ...limits };
    },
    clock,
    log: { warn: (_, text) => void warnings.push(text) },
  });
  return Object.assign(bench, { logs });
}

/** What the reader gets until it has to wait. */
async function readAll(subscription: LogSubscription): Promise<string[]> {
  const texts: string[] = [];
  const reading = (async () => {
    for await (const { text } of subscription) texts.push(text);
  })();
  await settled();
  subscription.close();
  await reading;
  return texts;
}

const texts = (batches: LogRecord[][]): string[] => batches.flat().map(({ text }) => text);

describe('storing logs', () => {
  it('writes what came within 200 ms at once', async () => {
    const { logs, clock, batches } = makeBench();
    logs.publish(line('one'));
    await clock.advance(150);
    logs.publish(line('two'));
    await clock.advance(49);
    expect(batches).toEqual([]);
    await clock.advance(1);
    expect(batches.map((batch) => batch.map(({ text }) => text))).toEqual([['one', 'two']]);
    expect(clock.waiting).toBe(0);
  });

  it('writes at once when 500 wait, in batches of 500', async () => {
    const { logs, batches } = makeBench();
    for (let count = 0; count < 1_200; count++) logs.publish(line(`${count}`));
    await settled();
    expect(batches.map(({ length }) => length)).toEqual([500, 500]);
    await logs.flush();
    expect(texts(batches)).toEqual(Array.from({ length: 1_200 }, (_, count) => `${count}`));
  });

  it('writes one batch at a time', async () => {
    const bench = makeBench();
    let open = 0;
    let most = 0;
    bench.append = async () => {
      most = Math.max(most, (open += 1));
      await settled();
      open -= 1;
    };
    for (let count = 0; count < 2_000; count++) bench.logs.publish(line('x'));
    await bench.logs.flush();
    expect(most).toBe(1);
  });

  it('keeps a bounded number while the store is slow, and says how many are missing', async () => {
    const bench = makeBench();
    const held = Promise.withResolvers<void>();
    const append = bench.append;
    bench.append = async (records) => {
      await held.promise;
      return append(records);
    };
    for (let count = 0; count < 8_000; count++) bench.logs.publish(line('x'));
    bench.logs.publish(line('of another', globex));
    held.resolve();
    await bench.logs.flush();
    const stored = texts(bench.batches);
    const marker = stored.find((text) => text.startsWith('…'));
    const kept = stored.filter((text) => text === 'x').length;
    expect(kept).toBeLessThanOrEqual(5_500);
    expect(marker).toBe(`… ${8_000 - kept} log lines dropped`);
    expect(stored).toContain('of another');
  });

  it('bounds the bytes of one tenant, and leaves room for others', async () => {
    const { logs, batches } = makeBench({ logLineBytes: 64 * 1024 });
    const long = 'x'.repeat(60_000);
    for (let count = 0; count < 400; count++) logs.publish(line(long));
    logs.publish(line('of another', globex));
    await logs.flush();
    expect(texts(batches).filter((text) => text === long).length).toBeLessThan(150);
    expect(texts(batches)).toContain('of another');
  });

  it('goes on when the store fails, counts what was lost, and keeps the lines of other tenants', async () => {
    const bench = makeBench();
    const append = bench.append;
    bench.append = (records) =>
      records.some(({ tenant }) => tenant === globex) ? Promise.reject(new Error('gone')) : append(records);
    bench.logs.publish(line('mine'));
    bench.logs.publish(line('of a deleted tenant', globex));
    await bench.logs.flush();
    expect(texts(bench.batches)).toEqual(['mine']);
    expect(bench.warnings).toContain('log lines were not stored');
    bench.append = append;
    bench.logs.publish(line('again', globex));
    await bench.logs.flush();
    expect(texts(bench.batches)).toContain('again');
  });

  it('gives up on a store that does not answer within its deadline', async () => {
    const bench = makeBench();
    bench.append = () => new Promise(() => undefined);
    bench.logs.publish(line('one'));
    await bench.clock.advance(200);
    await bench.clock.advance(11_000);
    expect(bench.warnings).toContain('log lines were not stored');
  });

  it('cuts the history of a tenant to logHistoryRows now and then, not at each write', async () => {
    const { logs, pruned } = makeBench({ logHistoryRows: 100 });
    for (let count = 0; count < 21; count++) {
      logs.publish(line('x'));
      await logs.flush();
    }
    expect(pruned).toEqual([1, 2, 3].map(() => ({ tenant: acme, keep: 100 })));
  });

  it('flushes what came before, however much comes meanwhile', async () => {
    const bench = makeBench();
    const append = bench.append;
    bench.append = async (records) => {
      await Promise.resolve();
      // More than a batch for each batch that is written: there is never an end of it.
      if (bench.batches.length < 1_000)
        for (let count = 0; count < 600; count++) bench.logs.publish(line('flood', globex));
      return append(records);
    };
    for (let count = 0; count < 700; count++) bench.logs.publish(line('flood', globex));
    bench.logs.publish(line('mine'));
    await bench.logs.flush();
    expect(texts(bench.batches)).toContain('mine');
    expect(bench.batches.length).toBeLessThan(10);
  });

  it('flushes nothing when nothing waits, and each of many flushes', async () => {
    const { logs, batches, clock } = makeBench();
    await logs.flush();
    logs.publish(line('one'));
    const first = logs.flush();
    logs.publish(line('two'));
    await Promise.all([first, logs.flush(), logs.flush()]);
    expect(texts(batches)).toEqual(['one', 'two']);
    expect(clock.waiting).toBe(0);
  });

  it('never throws', () => {
    const { logs, warnings } = makeBench();
    expect(() => logs.publish(line('x', 'broken' as TenantId))).not.toThrow();
    expect(warnings).toEqual(['a log line was lost']);
  });

  it('writes what waits when it is closed, and takes nothing after', async () => {
    const { logs, batches, clock } = makeBench();
    logs.publish(line('last'));
    await logs.close();
    logs.publish(line('after'));
    await logs.flush();
    expect(texts(batches)).toEqual(['last']);
    expect(clock.waiting).toBe(0);
  });
});

describe('reading logs live', () => {
  it('gets the records of its tenant and function from now on', async () => {
    const { logs } = makeBench();
    logs.publish(line('before'));
    const all = logs.subscribe({ tenant: acme }, never);
    const one = logs.subscribe({ tenant: acme, fn: 'hello' as FunctionName }, never);
    logs.publish(line('a'));
    logs.publish(line('b', acme, 'other'));
    logs.publish(line('c', globex));
    expect(await readAll(all)).toEqual(['a', 'b']);
    expect(await readAll(one)).toEqual(['a']);
  });

  it('wakes a reader that waits', async () => {
    const { logs } = makeBench();
    const reader = logs.subscribe({ tenant: acme }, never)[Symbol.asyncIterator]();
    const next = reader.next();
    await settled();
    logs.publish(line('now'));
    expect((await next).value?.text).toBe('now');
    await reader.return?.();
  });

  it('a slow reader loses records and is told how many, at the place where they are missing', async () => {
    const { logs } = makeBench();
    const reader = logs.subscribe({ tenant: acme }, never);
    for (let count = 0; count < 800; count++) logs.publish(line(`${count}`));
    const iterator = reader[Symbol.asyncIterator]();
    const read: string[] = [];
    for (let count = 0; count < 10; count++) read.push((await iterator.next()).value?.text ?? '');
    logs.publish(line('after'));
    for (let count = 0; count < 492; count++) read.push((await iterator.next()).value?.text ?? '');
    expect(read.slice(0, 500)).toEqual(Array.from({ length: 500 }, (_, count) => `${count}`));
    expect(read.slice(500)).toEqual(['… 300 log lines dropped', 'after']);
    reader.close();
  });

  it('ends with its signal, with close, and with the logs', async () => {
    const { logs } = makeBench();
    const caller = new AbortController();
    const byLogs = logs.subscribe({ tenant: acme }, never);
    const bySignal = logs.subscribe({ tenant: acme }, caller.signal);
    const ended = bySignal[Symbol.asyncIterator]().next();
    await settled();
    caller.abort();
    expect((await ended).done).toBe(true);
    await logs.close();
    expect((await byLogs[Symbol.asyncIterator]().next()).done).toBe(true);
    const late = logs.subscribe({ tenant: acme }, never);
    expect((await late[Symbol.asyncIterator]().next()).done).toBe(true);
  });

  it('allows 100 readers of one tenant', () => {
    const { logs } = makeBench();
    const readers = Array.from({ length: 100 }, () => logs.subscribe({ tenant: acme }, never));
    expect(() => logs.subscribe({ tenant: acme }, never)).toThrow('logSubscriptions');
    readers[0]!.close();
    expect(() => logs.subscribe({ tenant: acme }, never)).not.toThrow();
  });

  it('gets text without terminal escapes and control characters, cut at logLineBytes', async () => {
    const { logs } = makeBench({ logLineBytes: 256 });
    const reader = logs.subscribe({ tenant: acme }, never);
    logs.publish(line('\x1b[31mred\x1b[0m \x1b]0;title\x07a\tb\nc\rd\x00\x9b2Je\ud800'));
    logs.publish(line('ü'.repeat(1_000)));
    const [first, second] = await readAll(reader);
    expect(first).toBe('red a\tb\ncde\ufffd');
    expect(Buffer.byteLength(second!)).toBeLessThanOrEqual(256);
    expect(second!.endsWith('ü…')).toBe(true);
  });
});
