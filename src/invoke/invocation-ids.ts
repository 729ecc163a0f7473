/** Names of invocations and of traces: unique over restarts, cheap, and they tell nobody how much traffic there is. */
import type { InvocationId } from '../contracts/ids.ts';

export interface InvocationIds {
  next(): InvocationId;
  /** W3C Trace Context, level 1: a new trace, not sampled */
  nextTraceParent(): string;
}

const PREFIX_BYTES = 8;
const COUNTER_DIGITS = 8;
const SPAN_DIGITS = 16;
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
    return (Math.imul(counter, SCRAMBLE) >>> 0).toString(16).padStart(COUNTER_DIGITS, '0');
  };
  return {
    next: () => `i${prefix}${step()}` as InvocationId,
    nextTraceParent() {
      const span = `${prefix.slice(COUNTER_DIGITS)}${step()}`.padStart(SPAN_DIGITS, '0');
      return `00-${prefix}${span}-${span}-00`;
    },
  };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
