/** Nothing that a sandbox sends, and no mistake of ours on it, gets past its own channel. */
import type { Socket } from 'node:net';
import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import type { BerthError } from '../../contracts/errors.ts';
import { FrameFlag, FrameType, PROTOCOL_VERSION } from '../../contracts/frames.ts';
import { encodeResponseHead } from '../../kernel/frame-heads.ts';
import { FrameWriter } from '../../kernel/frame-writer.ts';
import type { InvocationEvents } from '../sandboxes.ts';
import type { Channel, ChannelEvents } from './channel.ts';
import { createHostChannel } from './host-channel.ts';

const NONE = Buffer.alloc(0);
const REQUEST = {
  head: {
    method: 'GET',
    url: '/',
    basePath: '',
    remoteAddress: '127.0.0.1',
    scheme: 'http',
    invocation: 'i1',
    headers: [],
  },
  body: NONE,
  isEnd: true,
  isUpgrade: false,
} as const;

interface Opened {
  readonly channel: Channel;
  readonly events: ReturnType<typeof channelEvents>;
  /** As if the sandbox had sent it. */
  readonly bytes: (chunk: Buffer) => void;
  readonly frame: (type: FrameType, flags: number, stream: number, payload: Buffer) => void;
}

const channelEvents = () =>
  ({
    onHello: vi.fn(),
    onLoaded: vi.fn(),
    onLog: vi.fn(),
    onLogDropped: vi.fn(),
    onPong: vi.fn(),
    onFatal: vi.fn(),
    onFault: vi.fn(),
    onClosed: vi.fn(),
  }) satisfies ChannelEvents;

const invocationEvents = () =>
  ({
    onResponse: vi.fn(),
    onData: vi.fn(),
    onWritable: vi.fn(),
    onDone: vi.fn(),
    onFailed: vi.fn<(error: BerthError) => void>(),
  }) satisfies InvocationEvents;

/** A channel without a socket, whose sandbox has said hello. */
function open(): Opened {
  const listeners = new Map<string, (chunk: Buffer) => void>();
  const socket = {
    on: (name: string, listener: (chunk: Buffer) => void) => listeners.set(name, listener),
    write: () => true,
    cork() {},
    uncork() {},
    destroy() {},
    pause() {},
    resume() {},
  };
  const events = channelEvents();
  const channel = createHostChannel({
    socket: socket as unknown as Socket,
    events,
    logBytesPerSecond: 1_000,
    egress: () => expect.unreachable(),
    now: () => 0,
  });
  const bytes = (chunk: Buffer): void => listeners.get('data')!(chunk);
  const frame: Opened['frame'] = (type, flags, stream, payload) => {
    const written: Buffer[] = [];
    const writer = new FrameWriter({
      write: (piece) => written.push(Buffer.from(piece)),
      cork() {},
      uncork() {},
    });
    writer.send(type, flags, stream, payload);
    writer.flush();
    bytes(Buffer.concat(written));
  };
  frame(FrameType.Hello, 0, 0, Buffer.from(JSON.stringify({ version: PROTOCOL_VERSION, node: 'v24' })));
  return { channel, events, bytes, frame };
}

it('a sandbox never makes the host throw, whatever bytes it sends', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 64 }), { maxLength: 8 }), (pieces) => {
      const { channel, events, bytes } = open();
      channel.open(REQUEST, invocationEvents());
      for (const piece of pieces) bytes(Buffer.from(piece));
      channel.close({ code: 'INTERNAL' } as BerthError);
      expect(events.onHello).toHaveBeenCalledOnce();
      expect(events.onFault).not.toHaveBeenCalled();
    }),
    { numRuns: 2_000 },
  );
});

it('a mistake of ours on what a sandbox sent ends that one channel, and each of its invocations hears of it', () => {
  const { channel, events, frame } = open();
  const [broken, other] = [invocationEvents(), invocationEvents()];
  const mistake = new TypeError('our own');
  const make = (): never => {
    throw mistake;
  };
  broken.onResponse.mockImplementation(make);
  broken.onFailed.mockImplementation(make);
  events.onClosed.mockImplementation((violation: BerthError) => channel.close(violation));
  channel.open(REQUEST, broken);
  channel.open(REQUEST, other);
  frame(FrameType.Response, FrameFlag.End, 1, encodeResponseHead({ status: 200, headers: [] }, NONE));
  expect(events.onClosed).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: 'INTERNAL' }));
  expect(events.onFault.mock.calls).toEqual([[mistake], [mistake]]);
  expect(other.onFailed).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: 'INTERNAL' }));
  expect(channel.inFlight).toBe(0);
});
