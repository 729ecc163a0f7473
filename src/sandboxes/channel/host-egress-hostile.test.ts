/** What comes out of a sandbox is hostile: hostile case 42, the frames of egress. */
import type { Socket } from 'node:net';
import fc from 'fast-check';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  EGRESS_WINDOW_BYTES,
  FrameFlag,
  FrameType,
  LEAST_EGRESS_GRANT_BYTES,
  MAX_DATA_BYTES,
  MAX_EGRESS_STREAMS,
  PROTOCOL_VERSION,
} from '../../contracts/frames.ts';
import { MalformedFrame } from '../../kernel/frame-heads.ts';
import { FrameWriter } from '../../kernel/frame-writer.ts';
import { settled } from '../../kernel/testing/fake-clock.ts';
import { EgressHost, target, windowOf } from '../testing/egress-host.ts';
import { createHostChannel } from './host-channel.ts';

const NONE = Buffer.alloc(0);
let host: EgressHost;

beforeEach(() => {
  host = new EgressHost();
});

describe('the protocol is broken by a sandbox that', () => {
  const lookup = { name: 'a.test', type: 'A', family: 0 };
  const breaches: Record<string, () => void | Promise<void>> = {
    'uses a number again': () => {
      host.say(FrameType.EgressOpen, 5, target);
      host.say(FrameType.EgressOpen, 5, target);
    },
    'counts down': () => {
      host.say(FrameType.EgressOpen, 5, target);
      host.say(FrameType.EgressLookup, 4, lookup);
    },
    'uses number 0': () => host.say(FrameType.EgressOpen, 0, target),
    'speaks of a stream that is not open': () => host.say(FrameType.EgressData, 1, Buffer.of(1)),
    'sends bytes before it is connected': () => {
      host.say(FrameType.EgressOpen, 1, target);
      host.say(FrameType.EgressData, 1, Buffer.of(1));
    },
    'sends bytes after its end': async () => {
      await host.connected();
      host.say(FrameType.EgressData, 1, NONE, FrameFlag.End);
      host.say(FrameType.EgressData, 1, Buffer.of(1));
    },
    'sends an empty piece': async () => {
      await host.connected();
      host.say(FrameType.EgressData, 1);
    },
    'sends more than its credit': async () => {
      const remote = await host.connected();
      remote.isHolding = true;
      for (let sent = 0; sent <= EGRESS_WINDOW_BYTES; sent += MAX_DATA_BYTES)
        host.say(FrameType.EgressData, 1, Buffer.alloc(MAX_DATA_BYTES));
    },
    'goes on sending to what is closed, over its credit': async () => {
      const remote = await host.connected();
      remote.destroy();
      await settled();
      for (let sent = 0; sent <= EGRESS_WINDOW_BYTES; sent += MAX_DATA_BYTES)
        host.say(FrameType.EgressData, 1, Buffer.alloc(MAX_DATA_BYTES));
    },
    'sends a piece that is too large': async () => {
      await host.connected();
      host.say(FrameType.EgressData, 1, Buffer.alloc(MAX_DATA_BYTES + 1));
    },
    'grants credit for nothing': async () => {
      await host.connected();
      host.say(FrameType.EgressWindow, 1, windowOf(LEAST_EGRESS_GRANT_BYTES));
    },
    'grants credit bit by bit': async () => {
      const remote = await host.connected();
      remote.push(Buffer.alloc(EGRESS_WINDOW_BYTES));
      await host.quiet();
      host.say(FrameType.EgressWindow, 1, windowOf(LEAST_EGRESS_GRANT_BYTES - 1));
    },
    'grants in the wrong size': async () => {
      await host.connected();
      host.say(FrameType.EgressWindow, 1, Buffer.alloc(3));
    },
    'closes with a payload': async () => {
      await host.connected();
      host.say(FrameType.EgressClose, 1, Buffer.of(1));
    },
    'sends what only the host may': () => host.say(FrameType.EgressOpened, 1, {}),
    'answers itself': () => host.say(FrameType.EgressAnswer, 1, {}),
    'sets a flag that is not known here': () => host.say(FrameType.EgressOpen, 1, target, FrameFlag.End),
    'sets Done on bytes': async () => {
      await host.connected();
      host.say(FrameType.EgressData, 1, Buffer.of(1), FrameFlag.Done);
    },
    'sends no JSON': () => host.say(FrameType.EgressOpen, 1, Buffer.from('{')),
    'sends a host that is too long': () =>
      host.say(FrameType.EgressOpen, 1, { ...target, host: 'x'.repeat(254) }),
    'sends a port that is none': () => host.say(FrameType.EgressOpen, 1, { ...target, port: 65_536 }),
    'sends a field more': () => host.say(FrameType.EgressOpen, 1, { ...target, tenant: 'other' }),
    'asks for what is no record': () => host.say(FrameType.EgressLookup, 1, { ...lookup, type: 'AXFR' }),
    'opens more streams than there may be': () => {
      for (let stream = 1; stream <= MAX_EGRESS_STREAMS + 1; stream++)
        host.say(FrameType.EgressOpen, stream, target);
    },
  };
  for (const [deed, breach] of Object.entries(breaches))
    it(`${deed}`, async () => {
      await expect((async () => breach())()).rejects.toBeInstanceOf(MalformedFrame);
    });
});

it('pieces of one byte wait as one for a remote that takes none, and an end behind them', async () => {
  const remote = await host.connected();
  remote.isHolding = true;
  for (let sent = 0; sent < 1_000; sent++) host.say(FrameType.EgressData, 1, Buffer.of(sent & 0xff));
  host.say(FrameType.EgressData, 1, Buffer.alloc(5_000));
  for (let sent = 0; sent < 1_000; sent++) host.say(FrameType.EgressData, 1, Buffer.of(7));
  host.say(FrameType.EgressData, 1, NONE, FrameFlag.End);
  for (remote.isHolding = false; remote.held.length > 0; await settled()) remote.held.shift()!();
  await vi.waitFor(() => expect(remote.hasEnded).toBe(true));
  expect(remote.received.map(({ length }) => length)).toEqual([1, 999, 5_000, 1_000]);
});

describe('what is refused unseen', () => {
  const refusal = { code: 'EAGAIN', reason: 'the limit egressOpensPerSecond (50) is reached' };

  it('is answered, asks the broker nothing, and is over when the sandbox has said so', async () => {
    host.unseen = refusal;
    host.say(FrameType.EgressOpen, 1, Buffer.from('whatever it is'));
    host.say(FrameType.EgressLookup, 2, Buffer.from('{'));
    await host.quiet();
    expect(host.toldJson(FrameType.EgressClose)).toEqual([refusal]);
    expect(host.toldJson(FrameType.EgressAnswer)).toEqual([{ ok: false, ...refusal }]);
    expect([host.requests, host.questions, host.egress.endedAt]).toEqual([[], [], Number.POSITIVE_INFINITY]);
    host.say(FrameType.EgressClose, 1);
    expect(host.egress.endedAt).toBe(host.now);
    expect(() => host.say(FrameType.EgressClose, 1)).toThrow(MalformedFrame);
  });

  it.each([FrameType.EgressData, FrameType.EgressWindow])('takes no frame %i', (type) => {
    host.unseen = refusal;
    host.say(FrameType.EgressOpen, 1, target);
    expect(() => host.say(type, 1, windowOf(LEAST_EGRESS_GRANT_BYTES))).toThrow(MalformedFrame);
  });

  it('gives its sandbox no room for answers that it does not read, as no stream does but for what was sent on it', async () => {
    const remote = await host.connected();
    remote.push(Buffer.alloc(1_000));
    await host.quiet();
    host.unseen = refusal;
    for (let stream = 2; stream < 100; stream++) host.say(FrameType.EgressOpen, stream, target);
    expect(host.egress.untakenBytes).toBe(1_000);
  });
});

describe('whatever a sandbox sends', () => {
  const payload = fc.oneof(
    { weight: 3, arbitrary: fc.constant(Buffer.from(JSON.stringify(target))) },
    fc.constant(Buffer.from(JSON.stringify({ name: 'a.test', type: 'A', family: 4 }))),
    fc.nat(300_000).map(windowOf),
    fc.nat(70_000).map((size) => Buffer.alloc(size)),
    fc.constant(NONE),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  );
  const frame = fc.record({
    type: fc.integer({ min: FrameType.EgressOpen, max: FrameType.EgressAnswer + 1 }),
    flags: fc.constantFrom(0, 0, 0, FrameFlag.End, FrameFlag.Done),
    stream: fc.nat(4),
    payload,
  });

  it('is taken or is malformed, and no byte is passed on that was not counted', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(frame, fc.constant(null)), { maxLength: 40 }), async (steps) => {
        host = new EgressHost();
        for (const step of steps) {
          if (step === null) await settled();
          else if (!isTaken(step)) break;
        }
        host.egress.close();
        await settled();
        expect(host.remotes.every(({ destroyed }) => destroyed)).toBe(true);
        const taken = host.remotes.flatMap(({ received }) => received);
        expect(taken.reduce((sum, { length }) => sum + length, 0)).toBe(host.counted.out);
      }),
      { numRuns: 500 },
    );
  });

  /** Anything that is thrown but MalformedFrame would end the platform, not the sandbox. */
  function isTaken(step: { type: number; flags: number; stream: number; payload: Buffer }): boolean {
    try {
      host.egress.onFrame(step.type, step.flags, step.stream, step.payload);
      return true;
    } catch (error) {
      expect(error).toBeInstanceOf(MalformedFrame);
      return false;
    }
  }

  it('and whatever credit it gives, what a remote sends arrives whole and in order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 100_000 }), { minLength: 1, maxLength: 10 }),
        fc.array(fc.integer({ min: LEAST_EGRESS_GRANT_BYTES, max: EGRESS_WINDOW_BYTES }), {
          minLength: 1,
          maxLength: 5,
        }),
        async (pieces, grants) => {
          host = new EgressHost();
          const remote = await host.connected();
          for (const piece of pieces) remote.push(Buffer.from(piece));
          remote.push(null);
          const got = await readAll(grants);
          expect(got.equals(Buffer.concat(pieces))).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
  });

  async function readAll(grants: readonly number[]): Promise<Buffer> {
    for (let granted = 0, turn = 0; turn < 1_000; turn++) {
      await host.quiet();
      const data = host.told(FrameType.EgressData);
      const bytes = Buffer.concat(data.map(({ payload }) => payload));
      if (data.some(({ flags }) => flags === FrameFlag.End)) return bytes;
      const grant = Math.min(grants[turn % grants.length]!, bytes.length - granted);
      if (grant < LEAST_EGRESS_GRANT_BYTES) continue;
      granted += grant;
      host.say(FrameType.EgressWindow, 1, windowOf(grant));
    }
    throw new Error('the end did not come');
  }
});

describe('on the channel', () => {
  const listeners = new Map<string, (chunk: Buffer) => void>();
  const none = (): void => undefined;
  const closed = vi.fn();
  const egress = vi.fn(() => ({
    connect: () => new Promise<never>(() => undefined),
    lookup: () => new Promise<never>(() => undefined),
    refuseUnseen: () => null,
    charge: () => 0,
  }));

  function channelThatGreeted() {
    closed.mockClear();
    egress.mockClear();
    const socket = {
      on: (name: string, listener: (chunk: Buffer) => void) => listeners.set(name, listener),
      write: () => true,
      cork: none,
      uncork: none,
      destroy: none,
      pause: none,
      resume: none,
    };
    const events = {
      onHello: none,
      onLoaded: none,
      onLog: none,
      onLogDropped: none,
      onPong: none,
      onFatal: none,
      onFault: none,
    };
    const channel = createHostChannel({
      socket: socket as unknown as Socket,
      events: { ...events, onClosed: closed },
      logBytesPerSecond: 1_000,
      egress,
      now: () => 0,
    });
    send(FrameType.Hello, 0, { version: PROTOCOL_VERSION, node: 'v24' });
    return channel;
  }

  function send(type: FrameType, stream: number, value: object): void {
    const writer = new FrameWriter({
      write: (bytes) => listeners.get('data')!(Buffer.from(bytes)),
      cork() {},
      uncork() {},
    });
    writer.send(type, 0, stream, Buffer.from(JSON.stringify(value)));
    writer.flush();
  }

  it('egress before Load is a breach: there is no tenant yet', () => {
    channelThatGreeted();
    send(FrameType.EgressOpen, 1, target);
    expect(closed).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }));
    expect(egress).not.toHaveBeenCalled();
  });

  it('after Load the broker is asked, once for each sandbox; a breach closes the channel', () => {
    channelThatGreeted().load(NONE);
    expect(egress).not.toHaveBeenCalled();
    send(FrameType.EgressOpen, 1, target);
    send(FrameType.EgressOpen, 2, target);
    expect(egress).toHaveBeenCalledOnce();
    expect(closed).not.toHaveBeenCalled();
    send(FrameType.EgressOpen, 2, target);
    expect(closed).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }));
  });
});
