import fc from 'fast-check';
import { expect, it } from 'vitest';
import { cleanText } from './clean-text.ts';
import { cpuMsOf } from './testing/spent-cpu.ts';

/** Looking at each character again for every other would take minutes. */
const LONG = 800_000;

it('leaves plain text as it is', () => {
  expect(cleanText('a\tb\nc – ü 😀', 100)).toBe('a\tb\nc – ü 😀');
});

it.each([
  ['\x1b[1;31mred\x1b[0m', 'red'],
  ['\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\', 'link'],
  ['\x1bPdevice\x1b\\after', 'after'],
  ['\x9b31mc1', 'c1'],
  ['\x1b(Bset', 'set'],
  ['over\rwritten', 'overwritten'],
  ['a\u202eb\u2066c', 'abc'],
  ['\x07\x08\x7f', ''],
  ['end\x1b', 'end'],
  ['cut\x1b[12', 'cut'],
])('takes escapes and controls out of %j', (text, clean) => {
  expect(cleanText(text, 100)).toBe(clean);
});

it('cuts at a whole character and says so', () => {
  expect(cleanText('abcdefghij', 8)).toBe('abcde…');
  expect(cleanText('üüüüü', 8)).toBe('üü…');
  expect(cleanText('😀😀😀', 11)).toBe('😀😀…');
});

it('whatever comes in: no control characters, whole Unicode, within the limit', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.integer({ min: 8, max: 200 }),
      (text, max) => {
        const clean = cleanText(text, max);
        expect(clean).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/);
        expect(clean.isWellFormed()).toBe(true);
        expect(Buffer.byteLength(clean)).toBeLessThanOrEqual(max);
      },
    ),
  );
});

it('is quick with text made to be slow', async () => {
  const ms = await cpuMsOf(() => {
    cleanText('\x1b]'.repeat(LONG / 2), LONG);
    cleanText(`\x1b]${'a'.repeat(LONG)}`, LONG);
  });
  expect(ms).toBeLessThan(1_000);
});
