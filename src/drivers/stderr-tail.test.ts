import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { StderrTail } from './stderr-tail.ts';

test('the end of what was written is kept, at most 4 KiB', async () => {
  const stream = new PassThrough();
  const tail = new StderrTail(stream);
  stream.write('a'.repeat(5_000));
  stream.end('the end');
  await tail.finish(1_000);
  expect(tail.text).toHaveLength(4_096);
  expect(tail.text.endsWith('athe end')).toBe(true);
});

test('V8’s last words are noticed though they are cut in two, and though much follows', async () => {
  const stream = new PassThrough();
  const tail = new StderrTail(stream);
  stream.write('FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out ');
  await new Promise((resolve) => setImmediate(resolve));
  stream.write('of memory');
  stream.end('x'.repeat(20_000));
  await tail.finish(1_000);
  expect(tail.sawHeapExhausted).toBe(true);
});

test('a flood is not read without pause', async () => {
  const stream = new PassThrough({ highWaterMark: 16 * 1024 });
  const tail = new StderrTail(stream);
  let written = 0;
  while (written < 10 * 1024 * 1024 && stream.write(Buffer.alloc(8 * 1024, 'x'))) written += 8 * 1024;
  for (let turn = 0; turn < 50; turn += 1) {
    while (stream.write(Buffer.alloc(8 * 1024, 'x'))) written += 8 * 1024;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(written).toBeLessThan(1024 * 1024);
  stream.end();
  await tail.finish(1_000);
  expect(tail.sawHeapExhausted).toBe(false);
});

test('a writer that never ends is not waited for longer than told', async () => {
  const stream = new PassThrough();
  const tail = new StderrTail(stream);
  stream.write('still here');
  await tail.finish(20);
  expect(tail.text).toBe('still here');
  expect(stream.destroyed).toBe(true);
});
