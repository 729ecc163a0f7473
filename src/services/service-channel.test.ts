/** A keeper that has been taken over: whatever it says, the platform goes on, and who waits hears of it. */
import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeClock } from '../kernel/testing/fake-clock.ts';
import { socketPair } from '../drivers/remote/testing/socket-pair.ts';
import { ServiceChannel, ServiceChannelError } from './service-channel.ts';

const start = { env: {}, input: '', stopSignal: 'SIGTERM' } as const;
/** Megabytes: more than the kernel takes for who does not read. */
const FLOOD_FRAMES = 400_000;
const never = new AbortController().signal;
let channel: ServiceChannel;
let keeper: Duplex;
let clock: FakeClock;
let pauses: number;

beforeEach(async () => {
  const [ours, theirs] = await socketPair();
  keeper = theirs;
  keeper.on('error', () => undefined);
  clock = new FakeClock();
  pauses = 0;
  channel = channelOn(ours);
});
afterEach(() => {
  channel.close();
  keeper.destroy();
});

function channelOn(socket: Duplex): ServiceChannel {
  return new ServiceChannel({ socket, clock, onPause: () => (pauses += 1) });
}

/** Speaks HTTP/2 and answers each stream as the test says. */
function speak(
  onStream: (stream: ServerHttp2Stream, session: ServerHttp2Session) => void,
  socket = keeper,
): void {
  const session = performServerHandshake(socket);
  session.on('error', () => undefined);
  session.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => undefined);
    onStream(stream, session);
  });
}

describe('a keeper', () => {
  it.each([
    ['bytes at random', Buffer.from('HTTP/1.1 200 OK\r\n\r\nhello')],
    ['a frame longer than any', Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])],
    ['data of a stream that nobody opened', Buffer.from([0, 0, 1, 0, 0, 0, 0, 0, 9, 1])],
    ['settings of no size that there is', Buffer.from([0, 0, 5, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5])],
    ['its end', null],
  ])('that says %s is gone, and so is what was asked of it', async (_what, bytes) => {
    const started = channel.start(start, never);
    const connected = channel.connect(never);
    if (bytes === null) keeper.destroy();
    else keeper.write(Buffer.concat([Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]), bytes]));
    await expect(started).rejects.toBeInstanceOf(ServiceChannelError);
    await expect(connected).rejects.toBeInstanceOf(ServiceChannelError);
    await channel.closed;
    await expect(channel.connect(never)).rejects.toThrow('the service has ended');
  });

  it('that never answers is waited for no longer than its caller wants', async () => {
    speak(() => undefined);
    const abort = new AbortController();
    const connected = channel.connect(abort.signal);
    setImmediate(() => abort.abort());
    await expect(connected).rejects.toBeInstanceOf(ServiceChannelError);
    expect(channel.isClosed).toBe(false);
  });

  it('that refuses, or resets, harms that one connection alone', async () => {
    let count = 0;
    speak((stream) => {
      count += 1;
      if (count === 1) stream.respond({ ':status': 502 }, { endStream: true });
      else if (count === 2) stream.close(2);
      else {
        stream.respond({ ':status': 200 });
        stream.pipe(stream);
      }
    });
    await expect(channel.connect(never)).rejects.toThrow('does not listen');
    await expect(channel.connect(never)).rejects.toThrow('does not answer');
    const connection = await channel.connect(never);
    connection.write('echo');
    expect(String(await new Promise((resolve) => connection.once('data', resolve)))).toBe('echo');
  });

  // RFC 9113, 6.9: credit; RFC 7838, 4: another place. Neither is answered, so Node has no limit for them.
  it.each([
    ['credit', Buffer.from([0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1])],
    ['other places', Buffer.from([0, 0, 9, 10, 0, 0, 0, 0, 0, 0, 1, 65, 97, 61, 34, 58, 49, 34])],
  ])('that floods with %s is read as fast as it may cost, and others are served', async (_what, frame) => {
    keeper.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    keeper.write(Buffer.concat(Array<Buffer>(FLOOD_FRAMES).fill(frame)));
    await vi.waitFor(() => expect(pauses).toBe(1), 10_000);
    const [ours, theirs] = await socketPair();
    const other = channelOn(ours);
    speak((stream) => {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    }, theirs);
    const connection = await other.connect(never);
    connection.write('echo');
    expect(String(await new Promise((resolve) => connection.once('data', resolve)))).toBe('echo');
    expect([pauses, channel.isClosed, keeper.writableLength > 0]).toEqual([1, false, true]);
    await clock.advance(5_000);
    await vi.waitFor(() => expect(pauses).toBeGreaterThan(1), 10_000);
    other.close();
    theirs.destroy();
  });

  it('that says how the service ended is told that this was read, and is not asked any more', async () => {
    const hungUp = new Promise((resolve) =>
      speak((stream, session) => {
        session.once('close', () => resolve('hung up'));
        stream.respond({ ':status': 200 }, { waitForTrailers: true });
        stream.once('wantTrailers', () => stream.sendTrailers({ ending: 'exit code 7' }));
        stream.end('no such folder');
      }),
    );
    const started = await channel.start(start, never);
    expect(String(await new Promise((resolve) => started.output.once('data', resolve)))).toBe(
      'no such folder',
    );
    expect(await hungUp).toBe('hung up');
    expect([started.ending(), channel.isClosed]).toEqual(['exit code 7', true]);
    await expect(channel.connect(never)).rejects.toThrow('the service has ended');
    await channel.closed;
  });

  it('that says how the service ended and stays is left', async () => {
    let startStream: ServerHttp2Stream | null = null;
    speak((stream) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: startStream === null });
      stream.once('wantTrailers', () => stream.sendTrailers({ ending: 'SIGKILL' }));
      startStream ??= stream;
    });
    const started = await channel.start(start, never);
    started.output.resume();
    const held = await channel.connect(never);
    const broken = new Promise((resolve) => held.once('close', resolve));
    (startStream as ServerHttp2Stream | null)!.end();
    await vi.waitFor(() => expect(started.ending()).toBe('SIGKILL'), 10_000);
    expect([channel.isClosed, held.destroyed]).toEqual([true, false]);
    await clock.advance(2_000);
    await channel.closed;
    await broken;
  });

  it('that breaks off in the middle ends its connections with an error, and nothing else', async () => {
    speak((stream) => stream.respond({ ':status': 200 }));
    const connection = await channel.connect(never);
    const ended = new Promise((resolve) => connection.once('close', () => resolve('closed')));
    connection.on('error', () => undefined);
    keeper.destroy();
    expect(await ended).toBe('closed');
    await channel.closed;
  });
});
