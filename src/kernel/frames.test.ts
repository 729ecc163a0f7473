import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FRAME_HEADER_BYTES,
  type FrameType,
  type RequestHead,
  type ResponseHead,
} from '../contracts/frames.ts';
import {
  decodeLoad,
  decodeRequestHead,
  decodeResponseHead,
  encodeLoad,
  encodeRequestHead,
  encodeResponseHead,
  MalformedFrame,
} from './frame-heads.ts';
import { FrameParser } from './frame-parser.ts';
import { FrameWriter } from './frame-writer.ts';

type Frame = [type: number, flags: number, stream: number, payload: Buffer];

function written(frames: readonly Frame[]): Buffer {
  const pieces: Buffer[] = [];
  const writer = new FrameWriter({
    write: (bytes) => pieces.push(Buffer.from(bytes)),
    cork() {},
    uncork() {},
  });
  for (const [type, flags, stream, payload] of frames) writer.send(type as FrameType, flags, stream, payload);
  writer.flush();
  return Buffer.concat(pieces);
}

/** Feeds `bytes` in pieces cut at `cuts`. */
function parsed(bytes: Buffer, cuts: readonly number[], maxPayloadBytes = 1 << 20): Frame[] {
  const frames: Frame[] = [];
  const parser = new FrameParser(maxPayloadBytes, (...frame) =>
    frames.push([frame[0], frame[1], frame[2], Buffer.from(frame[3])]),
  );
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  let start = 0;
  for (const end of ends) {
    parser.push(Buffer.from(bytes.subarray(start, end)));
    start = end;
  }
  return frames;
}

const byte = fc.integer({ min: 0, max: 255 });
const payload = fc
  .oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.integer({ min: 0, max: 30_000 }).map((length) => new Uint8Array(length).fill(7)),
  )
  .map((bytes) => Buffer.from(bytes));
const frame: fc.Arbitrary<Frame> = fc.tuple(byte, byte, fc.integer({ min: 0, max: 0xffff_ffff }), payload);
const latin1 = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCodePoint(code)),
  maxLength: 60,
});
const headers = fc.array(fc.tuple(latin1, latin1), { maxLength: 12 }).map((pairs) => pairs.flat());

describe('frames', () => {
  it('come out as they went in, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 50 }),
        fc.array(fc.nat(), { maxLength: 20 }),
        (frames, cuts) => {
          expect(parsed(written(frames), cuts)).toEqual(frames);
        },
      ),
    );
  });

  it('leave in batches while a long turn goes on, the rest at its end', async () => {
    const batches: number[] = [];
    const writer = new FrameWriter({
      write: (bytes) => batches.push(bytes.length / FRAME_HEADER_BYTES),
      cork() {},
      uncork() {},
    });
    for (let stream = 0; stream < 35; stream++) writer.send(0 as FrameType, 0, stream);
    expect(batches).toEqual([16, 16]);
    await new Promise(setImmediate);
    expect(batches).toEqual([16, 16, 3]);
  });

  it('that are too long are refused by their header alone', () => {
    const parser = new FrameParser(100, () => expect.unreachable());
    const header = Buffer.alloc(FRAME_HEADER_BYTES);
    header.writeUInt32LE(101);
    expect(() => parser.push(header)).toThrow(MalformedFrame);
  });

  it('of arbitrary bytes never make the parser throw anything but MalformedFrame', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 }), (pieces) => {
        const parser = new FrameParser(1_000, () => undefined);
        try {
          for (const piece of pieces) parser.push(Buffer.from(piece));
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedFrame);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('heads', () => {
  it('of requests survive the wire', () => {
    const head = fc.record<RequestHead>({
      method: latin1,
      url: latin1,
      basePath: latin1,
      remoteAddress: latin1,
      scheme: fc.constantFrom('http', 'https'),
      invocation: latin1,
      headers,
    });
    fc.assert(
      fc.property(head, payload, (original, body) => {
        const decoded = decodeRequestHead(Buffer.concat([encodeRequestHead(original), body]));
        expect(decoded.head).toEqual(original);
        expect(Buffer.compare(decoded.body, body)).toBe(0);
      }),
    );
  });

  it('of responses survive the wire', () => {
    const head = fc.record<ResponseHead>({ status: fc.integer({ min: 0, max: 65_535 }), headers });
    fc.assert(
      fc.property(head, payload, (original, body) => {
        const decoded = decodeResponseHead(encodeResponseHead(original, body));
        expect(decoded.head).toEqual(original);
        expect(Buffer.compare(decoded.body, body)).toBe(0);
      }),
    );
  });

  it('of arbitrary bytes are read or refused as malformed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const decode of [decodeRequestHead, decodeResponseHead]) {
          try {
            decode(Buffer.from(bytes));
          } catch (error) {
            expect(error).toBeInstanceOf(MalformedFrame);
          }
        }
      }),
      { numRuns: 5_000 },
    );
  });

  it('of load keep code, source map and code cache apart', () => {
    const spec = {
      tenant: 't',
      fn: 'f',
      revision: 'r',
      form: 'node',
      moduleKind: 'commonjs',
      evaluate: 'script',
      filename: 'ü.js',
      secrets: { A: '☃' },
      env: {},
      meta: {},
      webtask: null,
      limits: { wallMs: 1, logLineBytes: 1, logBytesPerSecond: 1, responseHeaderBytes: 1, memoryBytes: 1 },
    } as const;
    const loaded = decodeLoad(
      encodeLoad(spec, { code: Buffer.from('code'), sourceMap: null, bytecode: Buffer.from('bytecode') }),
    );
    expect(loaded.spec).toMatchObject(spec);
    expect(loaded.code.toString()).toBe('code');
    expect(loaded.sourceMap).toBeNull();
    expect(Buffer.from(loaded.bytecode!).toString()).toBe('bytecode');
  });
});
