import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MAX_MESSAGE_BYTES, MessageReader, MessageWriter, ProtocolBreach } from './message-stream.ts';

async function written(messages: readonly object[]): Promise<Buffer> {
  const stream = new PassThrough();
  const writer = new MessageWriter(stream);
  for (const message of messages) writer.write(message);
  await turn();
  await turn();
  return (stream.read() as Buffer | null) ?? Buffer.alloc(0);
}

it('messages come out as they went in, however the bytes are cut', async () => {
  const message = fc.dictionary(fc.string(), fc.jsonValue());
  await fc.assert(
    fc.asyncProperty(fc.array(message, { maxLength: 5 }), fc.array(fc.nat(40)), async (messages, cuts) => {
      const plain = JSON.parse(JSON.stringify(messages)) as object[];
      const bytes = await written(plain);
      const reader = new MessageReader();
      const read: unknown[] = [];
      let at = 0;
      for (const length of [...cuts, bytes.length]) {
        read.push(...reader.read(bytes.subarray(at, at + length)));
        at = Math.min(bytes.length, at + length);
      }
      expect(read).toEqual(plain);
    }),
    { numRuns: 200 },
  );
});

it('bytes at random are a breach or wait for more, and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        for (const message of new MessageReader().read(Buffer.from(bytes))) expect(message).toBeDefined();
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolBreach);
      }
    }),
  );
});

it('a message that is too long is not sent', () => {
  const writer = new MessageWriter(new PassThrough());
  expect(() => writer.write({ text: 'x'.repeat(MAX_MESSAGE_BYTES) })).toThrow(RangeError);
});
