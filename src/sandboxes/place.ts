/** Where a sandbox spins, in words. Frames come from the sandbox: hostile text. */
import type { StackFrame } from '../drivers/driver.ts';
import { cleanText } from '../kernel/clean-text.ts';

const MAX_NAME_BYTES = 200;
const MAX_FRAMES = 20;
/** Frames of Node itself and of our runtime say nothing to a tenant. */
const FOREIGN = /^(?:node:|internal\/|evalmachine|berth:|\/berth\/|file:\/\/\/berth\/|$)/;

function oneLine(text: string): string {
  return cleanText(text, MAX_NAME_BYTES).replace(/\s+/g, ' ').trim();
}

function describe(frame: StackFrame): string {
  const name = oneLine(frame.functionName);
  return `${oneLine(frame.file)}:${frame.line}:${frame.column}${name === '' ? '' : ` (${name})`}`;
}

/** ` at hello.js:3:7 (spin)` for the innermost frame of the tenant's own code; '' when there is none. */
export function placeOf(frames: readonly StackFrame[]): string {
  const own = frames.find((frame) => !FOREIGN.test(frame.file));
  return own === undefined ? '' : ` at ${describe(own)}`;
}

/** The call frames for the tenant's log, one a line, innermost first; '' when there are none of the tenant's own. */
export function framesText(frames: readonly StackFrame[]): string {
  return frames
    .slice(0, MAX_FRAMES)
    .filter((frame) => !FOREIGN.test(frame.file))
    .map((frame) => `\n    at ${describe(frame)}`)
    .join('');
}
