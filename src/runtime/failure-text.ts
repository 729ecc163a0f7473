/** Says what was thrown, in a form that fits the protocol. What was thrown is the tenant's, so reading it may itself throw. */
import type { Failure } from '../contracts/frames.ts';

/** Together at most 24 KiB of JSON however it is escaped; the host takes 32 KiB. */
const MAX_REASON = 1_500;
const MAX_STACK = 6_000;

/** Where this bundle lies: its frames are left out of stacks. */
const ownFile = typeof __filename === 'string' ? __filename : 'berth-runtime';

export function failureOf(code: Failure['code'], thrown: unknown): Failure {
  const stack = stackOf(thrown);
  return { code, reason: reasonOf(thrown), ...(stack === null ? {} : { stack }) };
}

export function reasonOf(thrown: unknown): string {
  try {
    return tidy(String(thrown), MAX_REASON);
  } catch {
    return 'something was thrown that has no text';
  }
}

export function stackOf(thrown: unknown): string | null {
  try {
    const { stack } = thrown as { stack?: unknown };
    return typeof stack === 'string' ? tidy(withoutOwnFrames(stack), MAX_STACK) : null;
  } catch {
    return null;
  }
}

/** Leaves the lines of a stack out that lie in the runtime or deep in Node. */
export function withoutOwnFrames(text: string): string {
  if (!text.includes(ownFile) && !text.includes('node:internal')) return text;
  const isOurs = (line: string): boolean =>
    line.includes(ownFile) || (line.includes('node:internal') && /^\s+at /.test(line));
  return text
    .split('\n')
    .filter((line) => !isOurs(line))
    .join('\n');
}

function tidy(text: string, length: number): string {
  const cut = text.length > length ? `${text.slice(0, length - 1)}…` : text;
  return cut.toWellFormed().replace(/[\0-\x08\x0b-\x1f\x7f]/g, ' ');
}
