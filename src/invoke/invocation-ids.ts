/** Names of invocations and of traces: unique over restarts, cheap, and they tell nobody how much traffic there is. */
import type { InvocationId } from '../contracts/ids.ts';

export interface InvocationIds {
  next(): InvocationId;
  /** W3C Trace Context, level 1: a new trace, not sampled */
  nextTraceParent(): string;
}

const PREFIX_BYTES = 8;
const COUNTER_DIGITS = 8;
/** Odd, so that multiplying runs through all 32-bit numbers before it repeats (Knuth's multiplicative hash). */
const SCRAMBLE = 2_654_435_761;
const EPOCH = 0x1_0000_0000;

/** @param random bytes that nobody can guess; asked at start and once in four thousand million invocations */
export function createInvocationIds(random: (bytes: number) => Uint8Array): InvocationIds {
  let prefix = hex(random(PREFIX_BYTES));
  let counter = 0;
  const step = (): string => {
    counter += 1;
    if (counter === EPOCH) {
      prefix = hex(random(PREFIX_BYTES));
      counter = 1;
    }
    return hex32(Math.imul(counter, SCRAMBLE));
  };
  return {
    next: () => `i${prefix}${step()}` as InvocationId,
    nextTraceParent() {
      const span = prefix.slice(COUNTER_DIGITS) + step();
      return `00-${prefix}${span}-${span}-00`;
    },
  };
}

const byteTexts = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Eight digits, whatever the sign. */
function hex32(value: number): string {
  return (
    byteTexts[value >>> 24]! +
    byteTexts[(value >>> 16) & 0xff]! +
    byteTexts[(value >>> 8) & 0xff]! +
    byteTexts[value & 0xff]!
  );
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
