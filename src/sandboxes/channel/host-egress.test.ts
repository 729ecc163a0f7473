import { beforeEach, describe, expect, it } from 'vitest';
import {
  EGRESS_WINDOW_BYTES,
  FrameFlag,
  FrameType,
  LEAST_EGRESS_GRANT_BYTES,
  MAX_DATA_BYTES,
} from '../../contracts/frames.ts';
import { MalformedFrame } from '../../kernel/frame-heads.ts';
import { EgressError } from '../egress/egress.ts';
import { EgressHost, target, windowOf } from '../testing/egress-host.ts';

let host: EgressHost;

beforeEach(() => {
  host = new EgressHost();
});

describe('a connection', () => {
  it('is opened, carries bytes both ways, and is closed', async () => {
    const remote = await host.connected();
    expect(host.requests).toEqual([{ host: 'a.test', port: 443, family: 0, hops: 4 }]);
    host.say(FrameType.EgressData, 1, Buffer.from('hello'));
    remote.push('world');
    await host.quiet();
    expect(host.toldJson(FrameType.EgressOpened)[0]).toEqual({ address: '192.0.2.7', family: 4 });
    expect(host.told(FrameType.EgressData)).toEqual([
      { type: FrameType.EgressData, flags: 0, stream: 1, payload: Buffer.from('world') },
    ]);
    expect(Buffer.concat(remote.received).toString()).toBe('hello');
    expect(host.counted).toEqual({ in: 5, out: 5 });
    host.say(FrameType.EgressClose, 1);
    await host.quiet();
    expect(remote.destroyed).toBe(true);
    expect(host.told(FrameType.EgressClose)).toEqual([]);
  });

  it('keeps its sandbox at work until it ends on both sides', async () => {
    expect(host.egress.endedAt).toBe(0);
    await host.connected();
    expect(host.egress.endedAt).toBe(Number.POSITIVE_INFINITY);
    host.now += 5_000;
    host.say(FrameType.EgressClose, 1);
    expect(host.egress.endedAt).toBe(host.now);
  });

  it('that is refused says code and reason, and the sandbox closes it too', async () => {
    host.refusal = new EgressError('EACCES', 'it is a private address');
    host.say(FrameType.EgressOpen, 1, target);
    await host.quiet();
    expect(host.toldJson(FrameType.EgressClose)[0]).toEqual({
      code: 'EACCES',
      reason: 'it is a private address',
    });
    host.say(FrameType.EgressClose, 1);
    expect(() => host.say(FrameType.EgressClose, 1)).toThrow(MalformedFrame);
  });

  it('sends no more than there is credit for, and reads no more from the remote', async () => {
    const remote = await host.connected();
    for (let n = 0; n < 100; n++) remote.push(Buffer.alloc(10_000));
    await host.quiet();
    const sent = (): number =>
      host.told(FrameType.EgressData).reduce((sum, { payload }) => sum + payload.length, 0);
    expect(sent()).toBe(EGRESS_WINDOW_BYTES);
    expect(remote.readableLength).toBeGreaterThan(0);
    expect(
      Math.max(...host.told(FrameType.EgressData).map(({ payload }) => payload.length)),
    ).toBeLessThanOrEqual(MAX_DATA_BYTES);
    host.say(FrameType.EgressWindow, 1, windowOf(LEAST_EGRESS_GRANT_BYTES));
    await host.quiet();
    expect(sent()).toBe(EGRESS_WINDOW_BYTES + LEAST_EGRESS_GRANT_BYTES);
  });

  it('grants credit when the remote has taken the bytes', async () => {
    const remote = await host.connected();
    remote.isHolding = true;
    for (let n = 0; n < EGRESS_WINDOW_BYTES / MAX_DATA_BYTES; n++)
      host.say(FrameType.EgressData, 1, Buffer.alloc(MAX_DATA_BYTES));
    await host.quiet();
    expect(host.told(FrameType.EgressWindow)).toEqual([]);
    remote.isHolding = false;
    for (const take of remote.held) take();
    await host.quiet();
    expect(host.told(FrameType.EgressWindow).map(({ payload }) => payload.readUInt32LE())).toEqual([
      EGRESS_WINDOW_BYTES / 2,
      EGRESS_WINDOW_BYTES / 2,
    ]);
  });

  it('closes halves', async () => {
    const remote = await host.connected();
    host.say(FrameType.EgressData, 1, Buffer.from('bye'), FrameFlag.End);
    await host.quiet();
    expect(remote.hasEnded).toBe(true);
    remote.push('late');
    remote.push(null);
    await host.quiet();
    expect(host.told(FrameType.EgressData).map(({ flags, payload }) => [flags, payload.toString()])).toEqual([
      [0, 'late'],
      [FrameFlag.End, ''],
    ]);
    expect(host.told(FrameType.EgressClose)).toEqual([]);
  });

  it('still delivers what was sent before an end and a close', async () => {
    const remote = await host.connected();
    remote.isHolding = true;
    host.say(FrameType.EgressData, 1, Buffer.from('one'));
    host.say(FrameType.EgressData, 1, Buffer.from('two'), FrameFlag.End);
    host.say(FrameType.EgressClose, 1);
    await host.quiet();
    expect(remote.destroyed).toBe(false);
    remote.isHolding = false;
    remote.held[0]!();
    await host.quiet();
    expect([Buffer.concat(remote.received).toString(), remote.destroyed]).toEqual(['onetwo', true]);
  });

  it('that breaks off says so, and takes what is still on its way', async () => {
    const remote = await host.connected();
    remote.destroy(Object.assign(new Error('reset'), { code: 'ECONNRESET' }));
    await host.quiet();
    expect(host.toldJson(FrameType.EgressClose)[0]).toMatchObject({ code: 'ECONNRESET' });
    host.say(FrameType.EgressData, 1, Buffer.from('late'));
  });

  it('that is given up on its way is given up there as well', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    host.wait = promise;
    host.say(FrameType.EgressOpen, 1, target);
    host.say(FrameType.EgressClose, 1);
    expect(host.signals[0]!.aborted).toBe(true);
    resolve();
    await host.quiet();
    expect(host.remotes[0]!.destroyed).toBe(true);
    expect(host.frames).toEqual([]);
  });

  it('ends with the channel', async () => {
    const remote = await host.connected();
    host.wait = new Promise(() => undefined);
    host.say(FrameType.EgressOpen, 2, target);
    host.egress.close();
    await host.quiet();
    expect([remote.destroyed, host.signals[1]!.aborted]).toEqual([true, true]);
    expect(host.told(FrameType.EgressClose)).toEqual([]);
  });
});

describe('a question', () => {
  it('is answered once', async () => {
    host.say(FrameType.EgressLookup, 1, { name: 'a.test', type: 'TXT', family: 0 });
    await host.quiet();
    expect(host.questions).toEqual([{ name: 'a.test', type: 'TXT', family: 0 }]);
    expect(host.toldJson(FrameType.EgressAnswer)[0]).toEqual({ ok: true, result: ['192.0.2.7'] });
    expect(() => host.say(FrameType.EgressClose, 1)).toThrow(MalformedFrame);
  });
});

it('a connection whose remote never reads ends all the same', async () => {
  const remote = await host.connected();
  remote.isHolding = true;
  host.say(FrameType.EgressData, 1, Buffer.from('x'));
  host.say(FrameType.EgressClose, 1);
  await host.quiet();
  expect(remote.destroyed).toBe(true);
});
