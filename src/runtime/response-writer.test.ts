import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameFlag, FrameType, INITIAL_WINDOW_BYTES, MAX_DATA_BYTES } from '../contracts/frames.ts';
import { decodeResponseHead } from '../kernel/frame-heads.ts';
import { ResponseInvalid, ResponseWriter } from './response-writer.ts';

/** What the host would have got, with every rule of the protocol checked on the way. */
function setUp(): { writer: ResponseWriter; frames: string[]; received: Buffer[]; endTurn: () => void } {
  const frames: string[] = [];
  const received: Buffer[] = [];
  let held = false;
  const writer = new ResponseWriter({
    responseHeaderBytes: 1_000,
    hold: () => (held = true),
    onLastFrame: () => FrameFlag.Done,
    send: (type, flags, payload) => {
      const body =
        type === FrameType.Response ? decodeResponseHead(Buffer.from(payload)).body : Buffer.from(payload);
      expect(body.length).toBeLessThanOrEqual(MAX_DATA_BYTES);
      if (type === FrameType.Data && flags === 0) expect(body.length).toBeGreaterThan(0);
      frames.push(
        `${type === FrameType.Response ? 'response' : 'data'} ${body.length}${flags === 0 ? '' : ' end'}`,
      );
      received.push(body);
    },
  });
  const endTurn = (): void => {
    if (held) writer.release();
    held = false;
  };
  return { writer, frames, received, endTurn };
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

describe('a response', () => {
  it('that ends in its turn is one frame', () => {
    const { writer, frames, endTurn } = setUp();
    writer.begin(200, ['a', 'b']);
    writer.write(Buffer.from('hello'));
    writer.end();
    endTurn();
    expect(frames).toEqual(['response 5 end']);
  });

  it('that goes on later has its head sent at the end of the turn', () => {
    const { writer, frames, endTurn } = setUp();
    writer.begin(200, []);
    writer.write(Buffer.from('a'));
    expect(frames).toEqual([]);
    endTurn();
    writer.write(Buffer.from('bc'));
    writer.end();
    expect(frames).toEqual(['response 1', 'data 2', 'data 0 end']);
  });

  it('stops at the credit, and says when there is room again', () => {
    const { writer, frames, endTurn } = setUp();
    let drains = 0;
    writer.onDrain = () => drains++;
    writer.begin(200, []);
    expect(writer.write(Buffer.alloc(INITIAL_WINDOW_BYTES + 100_000))).toBe(false);
    endTurn();
    expect([frames.length, writer.queuedBytes, drains]).toEqual([5, 100_000, 0]);
    writer.granted(50_000);
    expect([writer.queuedBytes, drains]).toEqual([50_000, 1]);
    writer.end();
    writer.granted(50_000);
    expect([frames.at(-1), writer.isSent]).toEqual(['data 50000 end', true]);
  });

  it('arrives whole in whatever pieces it is written and granted', () => {
    const piece = fc.uint8Array({ maxLength: 200_000 });
    const step = fc.oneof(piece, fc.integer({ min: 1, max: 300_000 }), fc.constant('turn' as const));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const { writer, frames, received, endTurn } = setUp();
        const written: Uint8Array[] = [];
        let credit = INITIAL_WINDOW_BYTES;
        writer.begin(200, []);
        for (const one of steps) {
          if (one === 'turn') endTurn();
          else if (typeof one === 'number') writer.granted(one);
          else {
            writer.write(one);
            written.push(one);
          }
          if (typeof one === 'number') credit += one;
          expect(received.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(credit);
        }
        writer.end();
        writer.granted(5_000_000);
        expect(Buffer.concat(received).equals(Buffer.concat(written))).toBe(true);
        expect(frames.filter((frame) => frame.endsWith('end'))).toHaveLength(1);
      }),
      { numRuns: 50 },
    );
  });

  it('lets go of what it has sent, though its queue never runs empty', async () => {
    const { writer, received, endTurn } = setUp();
    const written: WeakRef<ArrayBufferLike>[] = [];
    const write = (bytes: number): void => {
      const chunk = new Uint8Array(bytes);
      written.push(new WeakRef(chunk.buffer));
      writer.write(chunk);
    };
    writer.begin(200, []);
    write(1_000);
    endTurn();
    write(INITIAL_WINDOW_BYTES);
    for (let round = 0; round < 20; round++) {
      write(MAX_DATA_BYTES);
      writer.granted(MAX_DATA_BYTES);
      expect(writer.queuedBytes).toBe(1_000);
    }
    received.length = 0;
    // Until the end of its turn a WeakRef keeps what it names (ECMA-262, 9.9.3).
    await nextTurn();
    collectGarbage();
    const kept = written.filter((chunk) => chunk.deref() !== undefined).length;
    expect(kept).toBeLessThan(4);
    // The writer itself lives on.
    expect(writer.queuedBytes).toBe(1_000);
  });

  it.each([
    [99, []],
    [1_000, []],
    [Number.NaN, []],
    [200, ['a', 'x'.repeat(1_000)]],
  ])('with the head %s is refused', (status, headers) => {
    expect(() => setUp().writer.begin(status, headers)).toThrow(ResponseInvalid);
  });

  it('is given only once', () => {
    const { writer } = setUp();
    writer.begin(200, []);
    expect(() => writer.begin(200, [])).toThrow(ResponseInvalid);
  });
});
