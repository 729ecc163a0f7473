import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { BerthError } from '../../contracts/errors.ts';
import {
  FrameFlag,
  FrameType,
  INITIAL_WINDOW_BYTES,
  LEAST_GRANT_BYTES,
  MAX_DATA_BYTES,
  MAX_HOST_PAYLOAD_BYTES,
  PROTOCOL_VERSION,
  type RequestHead,
} from '../../contracts/frames.ts';
import { decodeRequestHead, encodeResponseHead } from '../../kernel/frame-heads.ts';
import { FrameParser } from '../../kernel/frame-parser.ts';
import { FrameWriter } from '../../kernel/frame-writer.ts';
import type { InvocationEvents } from '../sandboxes.ts';
import type { Channel, ChannelEvents } from './channel.ts';
import { createHostChannel } from './host-channel.ts';

interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

const HEAD: RequestHead = {
  method: 'GET',
  url: '/a?b',
  basePath: '/run/t/f',
  remoteAddress: '127.0.0.1',
  scheme: 'http',
  invocation: 'i1',
  headers: ['host', 'x'],
};
const NONE = Buffer.alloc(0);
const noEgress = (): never => expect.unreachable();
const REQUEST = { head: HEAD, body: NONE, isEnd: true, isUpgrade: false };

let folder: string;
let server: Server;
let host: Socket;
let sandbox: Socket;
let channel: Channel;
let frames: Frame[];
let writer: FrameWriter;
const events = {
  onHello: vi.fn(),
  onLoaded: vi.fn(),
  onLog: vi.fn(),
  onLogDropped: vi.fn(),
  onPong: vi.fn(),
  onFatal: vi.fn(),
  onFault: vi.fn(),
  onClosed: vi.fn(),
} satisfies ChannelEvents;

const invocationEvents = () =>
  ({
    onResponse: vi.fn(),
    onData: vi.fn(),
    onWritable: vi.fn(),
    onDone: vi.fn(),
    onFailed: vi.fn<(error: BerthError) => void>(),
  }) satisfies InvocationEvents;

beforeEach(async () => {
  vi.clearAllMocks();
  folder = await mkdtemp(join(tmpdir(), 'berth-channel-'));
  const path = join(folder, 'c.sock');
  const accepted = Promise.withResolvers<Socket>();
  server = createServer((socket) => accepted.resolve(socket)).listen(path);
  sandbox = connect(path);
  host = await accepted.promise;
  sandbox.on('error', () => undefined);
  frames = [];
  const parser = new FrameParser(MAX_HOST_PAYLOAD_BYTES, (type, flags, stream, payload) =>
    frames.push({ type, flags, stream, payload }),
  );
  sandbox.on('data', (chunk: Buffer) => parser.push(chunk));
  writer = new FrameWriter(sandbox);
  channel = createHostChannel({
    socket: host,
    events,
    logBytesPerSecond: 10_000,
    egress: noEgress,
    now: () => performance.now(),
  });
});

afterEach(async () => {
  sandbox.destroy();
  host.destroy();
  server.close();
  await rm(folder, { recursive: true, force: true });
});

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const hello = (): void =>
  writer.send(FrameType.Hello, 0, 0, json({ version: PROTOCOL_VERSION, node: 'v24' }));
const window = (bytes: number): Buffer => {
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(bytes);
  return payload;
};
const violated = async (): Promise<void> =>
  vi.waitFor(() =>
    expect(events.onClosed).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }),
    ),
  );

describe('a channel', () => {
  it('carries a request and its response', async () => {
    hello();
    const heard = invocationEvents();
    channel.open(REQUEST, heard);
    await vi.waitFor(() => expect(frames).toHaveLength(1));
    const { head } = decodeRequestHead(frames[0]!.payload);
    expect(head).toEqual(HEAD);
    expect(frames[0]!.flags).toBe(FrameFlag.End);
    writer.send(
      FrameType.Response,
      FrameFlag.End | FrameFlag.Done,
      frames[0]!.stream,
      encodeResponseHead({ status: 201, headers: ['a', 'b'] }, Buffer.from('hi')),
    );
    await vi.waitFor(() => expect(heard.onDone).toHaveBeenCalledOnce());
    expect(heard.onResponse).toHaveBeenCalledExactlyOnceWith(
      { status: 201, headers: ['a', 'b'] },
      Buffer.from('hi'),
      true,
    );
    expect(channel.inFlight).toBe(0);
    expect(heard.onFailed).not.toHaveBeenCalled();
  });

  it('passes a large head on: who judges it also cancels, so that nothing stays open unseen', async () => {
    hello();
    const heard = invocationEvents();
    const invocation = channel.open(REQUEST, heard);
    const headers = ['a', 'x'.repeat(100_000)];
    writer.send(FrameType.Response, 0, 1, encodeResponseHead({ status: 200, headers }));
    await vi.waitFor(() => expect(heard.onResponse).toHaveBeenCalledOnce());
    invocation.cancel('client-gone');
    await vi.waitFor(() => expect(frames.at(-1)?.type).toBe(FrameType.Cancel));
    expect([channel.inFlight, heard.onFailed.mock.calls]).toEqual([1, []]);
    writer.send(FrameType.Done, 0, 1);
    await vi.waitFor(() => expect(heard.onDone).toHaveBeenCalledOnce());
    expect(channel.inFlight).toBe(0);
  });

  it('sends no more body than there is credit for, and goes on when credit comes back', async () => {
    hello();
    const heard = invocationEvents();
    const invocation = channel.open({ ...REQUEST, isEnd: false }, heard);
    expect(invocation.write(Buffer.alloc(INITIAL_WINDOW_BYTES), false)).toBe(false);
    expect(invocation.writableBytes).toBe(0);
    expect(() => invocation.write(Buffer.alloc(1), false)).toThrow(RangeError);
    await vi.waitFor(() =>
      expect(
        frames.reduce((sum, frame) => sum + (frame.type === FrameType.Data ? frame.payload.length : 0), 0),
      ).toBe(INITIAL_WINDOW_BYTES),
    );
    expect(
      Math.max(...frames.filter(({ type }) => type === FrameType.Data).map(({ payload }) => payload.length)),
    ).toBe(MAX_DATA_BYTES);
    writer.send(FrameType.Window, 0, frames[0]!.stream, window(LEAST_GRANT_BYTES));
    await vi.waitFor(() => expect(heard.onWritable).toHaveBeenCalledOnce());
    expect(invocation.writableBytes).toBe(LEAST_GRANT_BYTES);
    invocation.write(Buffer.from('x'), true);
    await vi.waitFor(() =>
      expect(frames.at(-1)).toMatchObject({ type: FrameType.Data, flags: FrameFlag.End }),
    );
  });

  it('grants credit for what the caller consumed', async () => {
    hello();
    const invocation = channel.open(REQUEST, invocationEvents());
    await vi.waitFor(() => expect(frames).toHaveLength(1));
    writer.send(FrameType.Response, 0, 1, encodeResponseHead({ status: 200, headers: [] }));
    writer.send(FrameType.Data, 0, 1, Buffer.alloc(MAX_DATA_BYTES));
    invocation.consumed(INITIAL_WINDOW_BYTES / 2);
    await vi.waitFor(() =>
      expect(frames.at(-1)).toMatchObject({
        type: FrameType.Window,
        payload: window(INITIAL_WINDOW_BYTES / 2),
      }),
    );
  });

  it('gathers small pieces of a body until those before them are passed on', async () => {
    hello();
    const heard = invocationEvents();
    const invocation = channel.open(REQUEST, heard);
    await vi.waitFor(() => expect(frames).toHaveLength(1));
    writer.send(FrameType.Response, 0, 1, encodeResponseHead({ status: 200, headers: [] }));
    for (const text of 'abcd') writer.send(FrameType.Data, 0, 1, Buffer.from(text));
    await vi.waitFor(() => expect(heard.onData).toHaveBeenCalledExactlyOnceWith(Buffer.from('a'), false));
    await new Promise(setImmediate);
    invocation.consumed(1);
    expect(heard.onData).toHaveBeenLastCalledWith(Buffer.from('bcd'), false);
    writer.send(FrameType.Data, 0, 1, Buffer.from('e'));
    writer.send(FrameType.Data, FrameFlag.End | FrameFlag.Done, 1, Buffer.from('f'));
    await vi.waitFor(() => expect(heard.onDone).toHaveBeenCalledOnce());
    expect(Buffer.concat(heard.onData.mock.calls.map(([chunk]) => chunk as Buffer)).toString()).toBe(
      'abcdef',
    );
  });

  it('after a cancel says nothing but done', async () => {
    hello();
    const heard = invocationEvents();
    const invocation = channel.open(REQUEST, heard);
    invocation.cancel('timeout');
    await vi.waitFor(() => expect(frames.at(-1)).toMatchObject({ type: FrameType.Cancel }));
    writer.send(FrameType.Response, 0, 1, encodeResponseHead({ status: 200, headers: [] }));
    writer.send(FrameType.Done, 0, 1);
    await vi.waitFor(() => expect(heard.onDone).toHaveBeenCalledOnce());
    expect(heard.onResponse).not.toHaveBeenCalled();
    expect(channel.inFlight).toBe(0);
  });

  it('fails what is open when it is closed', () => {
    const heard = invocationEvents();
    channel.open(REQUEST, heard);
    channel.close({ code: 'MEMORY_LIMIT' } as BerthError);
    expect(heard.onFailed).toHaveBeenCalledExactlyOnceWith({ code: 'MEMORY_LIMIT' });
  });

  it('tells its owner when the other side goes', async () => {
    hello();
    sandbox.end();
    sandbox.destroy();
    await vi.waitFor(() => expect(events.onClosed).toHaveBeenCalledExactlyOnceWith(null));
  });

  it('drops a flood of log lines and says how many', async () => {
    hello();
    for (let line = 0; line < 100; line++)
      writer.send(FrameType.Log, 0, 0, Buffer.concat([Buffer.of(30), Buffer.alloc(1000, 'x')]));
    await vi.waitFor(() => expect(events.onLogDropped).toHaveBeenCalled(), { timeout: 5_000 });
    const said = events.onLogDropped.mock.calls.reduce((sum, [lines]) => sum + (lines as number), 0);
    expect(said + events.onLog.mock.calls.length).toBe(100);
    expect(events.onLog.mock.calls.length).toBeLessThan(40);
  });
});

describe('lines that the runtime dropped itself', () => {
  it('are said in full, however deep in a flood', async () => {
    hello();
    for (let line = 0; line < 40; line++)
      writer.send(FrameType.Log, 0, 0, Buffer.concat([Buffer.of(30), Buffer.alloc(1000, 'x')]));
    const dropped = Buffer.alloc(8);
    dropped.writeUInt32LE(5_000, 0);
    dropped.writeUInt32LE(70_000, 4);
    writer.send(FrameType.LogDropped, 0, 0, dropped);
    const said = (): number =>
      events.onLogDropped.mock.calls.reduce((sum, [lines]) => sum + (lines as number), 0);
    await vi.waitFor(() => expect(said() + events.onLog.mock.calls.length).toBe(5_040), { timeout: 5_000 });
  });
});

describe('body bytes', () => {
  it('given out stay whole, whatever arrives in the same read and after it', async () => {
    hello();
    const heard = invocationEvents();
    const pieces: Buffer[] = [];
    heard.onData.mockImplementation((chunk: Buffer) => void pieces.push(chunk));
    channel.open(REQUEST, heard);
    await vi.waitFor(() => expect(frames).toHaveLength(1));
    const { stream } = frames[0]!;
    writer.send(FrameType.Response, 0, stream, encodeResponseHead({ status: 200, headers: [] }));
    const sizes = [1, 40_000, 3, 20_000, 64, 65_536, 9_000, 30_000];
    for (const [index, size] of sizes.entries())
      writer.send(FrameType.Data, 0, stream, Buffer.alloc(size, index + 1));
    writer.send(FrameType.Data, FrameFlag.End | FrameFlag.Done, stream);
    await vi.waitFor(() => expect(heard.onDone).toHaveBeenCalledOnce());
    expect(Buffer.concat(pieces)).toEqual(
      Buffer.concat(sizes.map((size, index) => Buffer.alloc(size, index + 1))),
    );
  });

  it('written are released once the sandbox has them', async () => {
    hello();
    const invocation = channel.open({ ...REQUEST, isEnd: false }, invocationEvents());
    const bytes = Buffer.from(new ArrayBuffer(100_000)).fill('x');
    const total = bytes.length;
    invocation.write(bytes.subarray(0, 70_000), false);
    invocation.write(bytes.subarray(70_000), true);
    const received = (): number =>
      frames
        .filter(({ type }) => type === FrameType.Data)
        .reduce((sum, { payload }) => sum + payload.toString().replaceAll(/[^x]/gu, '').length, 0);
    await vi.waitFor(() => expect(received()).toBe(total));
    await vi.waitFor(() => expect(bytes.length).toBe(0));
  });
});

describe('a sandbox that breaks the protocol', () => {
  const breaches: Record<string, () => void> = {
    'speaks before hello': () => writer.send(FrameType.Pong, 0, 1),
    'says hello twice': () => (hello(), hello()),
    'speaks another version': () => writer.send(FrameType.Hello, 0, 0, json({ version: 99, node: 'v24' })),
    'answers for an invocation that is not its own': () => (
      hello(),
      writer.send(FrameType.Response, 0, 7, encodeResponseHead({ status: 200, headers: [] }))
    ),
    'ends an invocation that is not its own': () => (hello(), writer.send(FrameType.Done, 0, 7)),
    'answers twice': () => {
      hello();
      channel.open(REQUEST, invocationEvents());
      writer.send(FrameType.Response, 0, 1, encodeResponseHead({ status: 200, headers: [] }));
      writer.send(FrameType.Response, 0, 1, encodeResponseHead({ status: 200, headers: [] }));
    },
    'sends a body before the head': () => (
      hello(),
      channel.open(REQUEST, invocationEvents()),
      writer.send(FrameType.Data, 0, 1, Buffer.of(1))
    ),
    'sends more than its credit': () => {
      hello();
      channel.open(REQUEST, invocationEvents());
      writer.send(FrameType.Response, 0, 1, encodeResponseHead({ status: 200, headers: [] }));
      for (let sent = 0; sent <= INITIAL_WINDOW_BYTES; sent += MAX_DATA_BYTES)
        writer.send(FrameType.Data, 0, 1, Buffer.alloc(MAX_DATA_BYTES));
    },
    'sends empty pieces of body': () => {
      hello();
      channel.open(REQUEST, invocationEvents());
      writer.send(FrameType.Response, 0, 1, encodeResponseHead({ status: 200, headers: [] }));
      writer.send(FrameType.Data, 0, 1);
    },
    'grants credit for nothing': () => (
      hello(),
      channel.open(REQUEST, invocationEvents()),
      writer.send(FrameType.Window, 0, 1, window(LEAST_GRANT_BYTES))
    ),
    'grants credit bit by bit': () => {
      hello();
      channel
        .open({ ...REQUEST, isEnd: false }, invocationEvents())
        .write(Buffer.alloc(INITIAL_WINDOW_BYTES), false);
      writer.send(FrameType.Window, 0, 1, window(LEAST_GRANT_BYTES - 1));
    },
    'answers a ping that was not sent': () => (hello(), writer.send(FrameType.Pong, 0, 5)),
    'says loaded before load': () => (
      hello(),
      writer.send(FrameType.Loaded, 0, 0, json({ ok: true, form: 'node' }))
    ),
    'sends a frame that only the host may send': () => (hello(), writer.send(FrameType.Request, 0, 0)),
    'says twice that it crashes': () => {
      hello();
      for (let time = 0; time < 2; time++)
        writer.send(FrameType.Fatal, 0, 0, json({ code: 'FUNCTION_CRASHED', reason: 'x', stack: 'y' }));
    },
    'sends broken JSON': () => (hello(), writer.send(FrameType.Fatal, 0, 0, Buffer.from('{'))),
    'sends a head that is cut off': () => (
      hello(),
      channel.open(REQUEST, invocationEvents()),
      writer.send(FrameType.Response, 0, 1, Buffer.of(200, 0, 9, 9, 1))
    ),
    'announces a frame that is too long': () => (
      hello(),
      writer.flush(),
      sandbox.write(Buffer.from([255, 255, 255, 255, 5, 0, 1, 0, 0, 0]))
    ),
  };
  for (const [deed, breach] of Object.entries(breaches)) {
    it(`is cut off when it ${deed}`, async () => {
      breach();
      await violated();
    });
  }
});
