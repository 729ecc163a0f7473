/**
 * Target `frames`: whatever a sandbox writes to its channel, the host throws nothing, tells each invocation one story that
 * can be true, in the same order however the bytes are cut, and ends at the first breach.
 */
import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import fc from 'fast-check';
import { expect } from 'vitest';
import { BerthError } from '../../src/contracts/errors.ts';
import {
  FRAME_HEADER_BYTES,
  FrameType,
  INITIAL_WINDOW_BYTES,
  PROTOCOL_VERSION,
} from '../../src/contracts/frames.ts';
import { encodeResponseHead } from '../../src/kernel/frame-heads.ts';
import { createHostChannel } from '../../src/sandboxes/channel/host-channel.ts';
import type { SandboxEgress } from '../../src/sandboxes/egress/egress.ts';
import { checkInputs, corpusOf, type FuzzTarget } from './fuzz-target.ts';

const INVOCATIONS = 3;
const NOTHING = Buffer.alloc(0);

function frameOf(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUInt32LE(payload.length, 0);
  header.writeUInt8(type, 4);
  header.writeUInt8(flags, 5);
  header.writeUInt32LE(stream, 6);
  return Buffer.concat([header, payload]);
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const hello = frameOf(FrameType.Hello, 0, 0, json({ version: PROTOCOL_VERSION, node: 'v24' }));

const bytes = fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array));
const text = fc.string({ unit: 'binary', maxLength: 20 });
const payload = fc.oneof(
  bytes,
  fc.constant(NOTHING),
  fc.nat({ max: 300_000 }).map((number) => Buffer.from(new Uint32Array([number]).buffer)),
  fc.nat({ max: 70_000 }).map((length) => Buffer.alloc(length, 30)),
  fc
    .tuple(fc.nat({ max: 700 }), fc.array(fc.tuple(text, text), { maxLength: 4 }), bytes)
    .map(([status, pairs, body]) => encodeResponseHead({ status, headers: pairs.flat() }, body)),
  fc.oneof(
    fc.record({ code: fc.constantFrom('FUNCTION_FAILED', 'INTERNAL'), reason: text }).map(json),
    fc
      .record({
        host: text,
        port: fc.nat({ max: 70_000 }),
        family: fc.nat({ max: 6 }),
        invocation: fc.nat({ max: 3 }),
      })
      .map(json),
    fc.record({ name: text, type: fc.constantFrom('A', 'address', 'x'), family: fc.constant(0) }).map(json),
    fc.record({ ok: fc.boolean(), form: fc.constantFrom('node', 'x') }).map(json),
    fc.jsonValue().map(json),
  ),
);
const frame = fc
  .tuple(
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...([5, 6, 7, 9, 10, 13, 16, 18, 19, 20, 21] as const)) },
      { weight: 1, arbitrary: fc.nat({ max: 255 }) },
    ),
    fc.oneof({ weight: 9, arbitrary: fc.nat({ max: 3 }) }, { weight: 1, arbitrary: fc.nat({ max: 255 }) }),
    fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: 1, max: INVOCATIONS }) },
      { weight: 1, arbitrary: fc.constantFrom(0, INVOCATIONS + 1, 0xffff_ffff) },
    ),
    payload,
  )
  .map((parts) => frameOf(...parts));

interface Input {
  readonly bytes: Buffer;
  readonly cuts: readonly number[];
}

const inputs: fc.Arbitrary<Input> = fc.record({
  bytes: fc.oneof(
    {
      weight: 5,
      arbitrary: fc.array(frame, { maxLength: 12 }).map((frames) => Buffer.concat([hello, ...frames])),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.array(frame, { maxLength: 4 }), bytes)
        .map(([frames, rest]) => Buffer.concat([hello, ...frames, rest])),
    },
    { weight: 1, arbitrary: bytes },
  ),
  cuts: fc.array(fc.nat(), { maxLength: 6 }),
});

/** Everything that the host's side of the channel said, in order. */
function storyOf({ bytes: sent, cuts }: Input): string[] {
  const story: string[] = [];
  const socket = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  const channel = createHostChannel({
    socket: socket as unknown as Socket,
    events: {
      onHello: () => story.push('hello'),
      onLoaded: () => story.push('loaded'),
      onLog: (invocation, level, line) => story.push(`log ${invocation} ${level} ${line.length}`),
      onLogDropped: () => undefined,
      onPong: () => story.push('pong'),
      onFatal: () => story.push('fatal'),
      onFault: (error) => {
        throw error;
      },
      onClosed: (violation) => story.push(`closed ${violation?.code}`),
    },
    logBytesPerSecond: 1_000_000,
    egress: () => silentEgress(story),
    now: () => 0,
  });
  channel.load(NOTHING);
  for (let number = 1; number <= INVOCATIONS; number++) open(channel, number, story);
  const ends = [...cuts.map((cut) => cut % (sent.length + 1)), sent.length].toSorted((a, b) => a - b);
  let start = 0;
  for (const end of ends) {
    socket.emit('data', Buffer.from(sent.subarray(start, end)));
    start = end;
  }
  channel.close(new BerthError('SHUTTING_DOWN'));
  return story;
}

/** A broker that never answers, and tells what it was asked. */
function silentEgress(story: string[]): SandboxEgress {
  const asked = (what: string, host: string): Promise<never> => {
    story.push(`egress ${what} ${host.length}`);
    return new Promise(() => undefined);
  };
  return {
    connect: ({ host }) => asked('connect', host),
    lookup: ({ name }) => asked('lookup', name),
    refuseUnseen: () => null,
    charge: () => 0,
  };
}

function open(channel: ReturnType<typeof createHostChannel>, number: number, story: string[]): void {
  const head = {
    method: 'GET',
    url: '/',
    basePath: '',
    remoteAddress: '',
    scheme: 'http',
    headers: [],
  } as const;
  channel.open(
    { head: { ...head, invocation: String(number) }, body: NOTHING, isEnd: true, isUpgrade: false },
    {
      onResponse: (_head, body, isEnd) => story.push(`${number} response ${body.length} ${isEnd}`),
      onData: (chunk, isEnd) => story.push(`${number} data ${chunk.length} ${isEnd}`),
      onWritable: () => story.push(`${number} writable`),
      onDone: () => story.push(`${number} done`),
      onFailed: (error) => story.push(`${number} failed ${error.code}`),
    },
  );
}

/** response, then data until the end, then done or failed: once, and nothing after it. */
const TRUE_STORY = /^(?:response (\d+) (?:true|false) (?:data \d+ (?:true|false) )*)?(?:done|failed \w+) $/;

function expectTrue(story: readonly string[]): void {
  for (let number = 1; number <= INVOCATIONS; number++) {
    const own = story.filter((line) => line.startsWith(`${number} `)).map((line) => line.slice(2));
    expect(`${own.join(' ')} `).toMatch(TRUE_STORY);
    const ends = own.filter((line) => line.endsWith(' true'));
    expect(ends.length).toBeLessThanOrEqual(1);
    if (own.includes('done')) expect(ends).toHaveLength(1);
    const received = own.reduce(
      (sum, line) => sum + Number(/^(?:response|data) (\d+)/.exec(line)?.[1] ?? 0),
      0,
    );
    // Nothing was consumed, so nothing was granted beyond the first window.
    expect(received).toBeLessThanOrEqual(INITIAL_WINDOW_BYTES);
  }
  const closed = story.findIndex((line) => line.startsWith('closed'));
  if (closed === -1) return;
  expect(story[closed]).toBe('closed PROTOCOL_VIOLATION');
  expect(story.slice(closed + 1).every((line) => line.endsWith('failed SHUTTING_DOWN'))).toBe(true);
}

export async function openFrames(): Promise<FuzzTarget> {
  const corpus = corpusOf('frames').map((hex) => ({ bytes: Buffer.from(hex, 'hex'), cuts: [] }));
  const holds = async (input: Input): Promise<void> => {
    const story = storyOf(input);
    expectTrue(story);
    expect(storyOf({ ...input, cuts: [] })).toEqual(story);
  };
  return {
    name: 'frames',
    check: (parameters) => checkInputs(inputs, corpus, holds, parameters),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
