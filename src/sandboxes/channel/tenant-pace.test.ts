/** Hostile case 24: what a tenant's sandboxes send too much of is read as fast as one alone could send it. */
import type { Socket } from 'node:net';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { FrameType, PROTOCOL_VERSION } from '../../contracts/frames.ts';
import type { TenantId } from '../../contracts/ids.ts';
import { defaultLimits } from '../../contracts/limits.ts';
import { systemClock } from '../../kernel/clock.ts';
import { FrameParser } from '../../kernel/frame-parser.ts';
import { FrameWriter } from '../../kernel/frame-writer.ts';
import type { EgressBroker } from '../egress/egress.ts';
import { FRAMES_PER_SECOND, UNSEEN_REFUSAL_FRAMES } from '../egress/frame-pace.ts';
import { createEgressBroker } from '../egress/local-broker.ts';
import { createHostChannel } from './host-channel.ts';

const REFUSED_PER_SECOND = FRAMES_PER_SECOND / (1 + UNSEEN_REFUSAL_FRAMES);
const CHUNK_BYTES = 64 * 1024;
const STEP_MS = 5;
const SECONDS = 6;
const HELLO = { version: PROTOCOL_VERSION, node: 'v24' };
const unused = (): never => {
  throw new Error('nothing gets that far');
};

let broker: EgressBroker;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'performance', 'Date'] });
  broker = createEgressBroker({
    clock: systemClock,
    allow: [],
    deny: [],
    // Every connection is one too many.
    maxConnections: 0,
    isOwnAddress: unused,
    resolver: { addresses: unused, records: unused },
    connectInternal: unused,
    connectService: unused,
    store: { addUsage: () => Promise.resolve(), readUsage: () => Promise.resolve([]) },
    log: { debug: unused, info: unused, warn: unused, error: unused },
    onEvent: () => undefined,
  });
});
afterEach(async () => {
  await broker.close();
  vi.useRealTimers();
});

/** A sandbox that has been loaded, on a socket that delivers when it is read. */
class Sandbox {
  answers = 0;
  pongs = 0;
  /** Between two answers. */
  longestGapMs = 0;
  wasPaused = false;
  #answeredAt = performance.now();
  #isPaused = false;
  #deliver: (chunk: Buffer) => void = unused;
  readonly #channel;
  #next = 1;

  constructor(tenant: string) {
    const parser = new FrameParser(1_000_000, (type) => {
      if (type !== FrameType.EgressAnswer) return;
      this.answers += 1;
      this.longestGapMs = Math.max(this.longestGapMs, performance.now() - this.#answeredAt);
      this.#answeredAt = performance.now();
    });
    const socket = {
      on: (name: string, listener: (chunk: Buffer) => void) => {
        if (name === 'data') this.#deliver = listener;
      },
      write: (bytes: Buffer) => parser.push(Buffer.from(bytes)),
      cork() {},
      uncork() {},
      destroy() {},
      pause: () => (this.wasPaused = this.#isPaused = true),
      resume: () => (this.#isPaused = false),
    };
    const none = (): void => undefined;
    this.#channel = createHostChannel({
      socket: socket as unknown as Socket,
      events: {
        onHello: none,
        onLoaded: none,
        onLog: none,
        onLogDropped: none,
        onPong: () => (this.pongs += 1),
        onFatal: none,
        onFault: unused,
        onClosed: unused,
      },
      logBytesPerSecond: 1_000_000,
      egress: () =>
        broker.forSandbox({
          tenant: tenant as TenantId,
          policy: () => 'public',
          limits: () => defaultLimits,
          warn: () => undefined,
        }),
      now: () => performance.now(),
    });
    this.say((writer) => writer.send(FrameType.Hello, 0, 0, Buffer.from(JSON.stringify(HELLO))));
    this.#channel.load(Buffer.alloc(0));
  }

  say(what: (writer: FrameWriter) => void): void {
    const written: Buffer[] = [];
    const writer = new FrameWriter({
      write: (bytes) => written.push(Buffer.from(bytes)),
      cork() {},
      uncork() {},
    });
    what(writer);
    writer.flush();
    this.#deliver(Buffer.concat(written));
  }

  /** As much as one read brings, where it is read. */
  flood(padding = 0): void {
    if (this.#isPaused) return;
    const question = Buffer.from(`{"name":"a","type":"A","family":0}${' '.repeat(padding)}`);
    this.say((writer) => {
      for (let bytes = 0; bytes < CHUNK_BYTES; bytes += question.length + 10)
        writer.send(FrameType.EgressLookup, 0, this.#next++, question);
    });
  }

  /** One question, and an answer to the watchdog. */
  speak(nonce: number): void {
    if (this.#isPaused) return;
    this.#channel.ping(nonce);
    this.say((writer) => {
      writer.send(FrameType.EgressLookup, 0, this.#next++, Buffer.from('{"name":"a","type":"A","family":0}'));
      writer.send(FrameType.Pong, 0, nonce);
    });
  }
}

/** @returns how many questions were answered to all that flood */
async function answered(flooding: readonly Sandbox[], quiet?: Sandbox): Promise<number> {
  for (let step = 0; step < (SECONDS * 1_000) / STEP_MS; step++) {
    for (const sandbox of flooding) sandbox.flood();
    if (step % 20 === 0) quiet?.speak(step + 1);
    await vi.advanceTimersByTimeAsync(STEP_MS);
  }
  return flooding.reduce((sum, { answers }) => sum + answers, 0);
}

it('fifty that flood are answered as often together as one alone', async () => {
  const alone = await answered([new Sandbox('one')]);
  const quiet = new Sandbox('fifty');
  const fifty = Array.from({ length: 50 }, () => new Sandbox('fifty'));
  const together = await answered(fifty, quiet);
  const most = REFUSED_PER_SECOND * (SECONDS + 1);
  // Each may be in the midst of what one read brought.
  const inReads = (fifty.length * CHUNK_BYTES) / 44;
  expect(alone).toBeLessThan(most + CHUNK_BYTES / 44);
  expect(alone).toBeGreaterThan(most / 2);
  expect(together).toBeLessThan(most + inReads);
  // Who does not flood waits for none of them.
  expect([quiet.pongs, quiet.wasPaused]).toEqual([(SECONDS * 1_000) / STEP_MS / 20, false]);
  // They take turns, short ones once what came at first is paid for: none has much more of it than another.
  for (const sandbox of fifty) sandbox.answers = sandbox.longestGapMs = 0;
  const later = await answered(fifty);
  expect(later).toBeLessThan(REFUSED_PER_SECOND * SECONDS + 50 * 100);
  expect(Math.min(...fifty.map(({ answers }) => answers))).toBeGreaterThan(later / 50 / 2);
  expect(Math.max(...fifty.map(({ longestGapMs }) => longestGapMs))).toBeLessThan(250);
});

it.each([100, 1_000, 10_000])('questions padded by %d bytes are no way around it', async (padding) => {
  const sandbox = new Sandbox('one');
  const steps = 300;
  for (let step = 0; step < steps; step++) {
    for (let chunk = 0; chunk < 8; chunk++) sandbox.flood(padding);
    await vi.advanceTimersByTimeAsync(STEP_MS);
  }
  const seconds = (steps * STEP_MS) / 1_000 + 1;
  const perQuestion = 1 + UNSEEN_REFUSAL_FRAMES + Math.floor(padding / 1_024);
  expect(sandbox.answers).toBeLessThan((FRAMES_PER_SECOND * seconds) / perQuestion + CHUNK_BYTES / 44);
  expect(sandbox.answers).toBeGreaterThan(100);
  expect(sandbox.wasPaused).toBe(true);
});

it('one alone waits for moments only, so its pongs count', async () => {
  const sandbox = new Sandbox('one');
  await answered([sandbox]);
  expect(sandbox.wasPaused).toBe(true);
  expect(sandbox.longestGapMs).toBeLessThan(100);
});

it('another tenant has a pace of its own', async () => {
  const other = new Sandbox('other');
  const flooding = Array.from({ length: 10 }, () => new Sandbox('ten'));
  await answered(flooding, other);
  expect([other.pongs, other.wasPaused]).toEqual([(SECONDS * 1_000) / STEP_MS / 20, false]);
});
