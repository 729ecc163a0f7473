/** A keeper that has been taken over: whatever it says, the platform goes on, and who waits hears of it. */
import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { socketPair } from '../drivers/remote/testing/socket-pair.ts';
import { ServiceChannel, ServiceChannelError } from './service-channel.ts';

const start = { env: {}, input: '', stopSignal: 'SIGTERM' } as const;
const never = new AbortController().signal;
let channel: ServiceChannel;
let keeper: Duplex;

beforeEach(async () => {
  const [ours, theirs] = await socketPair();
  keeper = theirs;
  keeper.on('error', () => undefined);
  channel = new ServiceChannel(ours);
});
afterEach(() => {
  channel.close();
  keeper.destroy();
});

/** Speaks HTTP/2 and answers each stream as the test says. */
function speak(onStream: (stream: ServerHttp2Stream, session: ServerHttp2Session) => void): void {
  const session = performServerHandshake(keeper);
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
