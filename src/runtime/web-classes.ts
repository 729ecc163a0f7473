/**
 * Node's Fetch classes, which it loads when somebody asks for them: 20 ms and 4 MB that a sandbox only pays where its
 * function may be of the form `fetch`. They are held before the tenant's code runs, as all of `captured-globals.ts`.
 */
import type { Form } from '../contracts/forms.ts';

interface WebClasses {
  readonly Request: typeof Request;
  readonly ReadableStream: typeof ReadableStream;
}

let held: WebClasses | null = null;

/** Holds them where a function of that form can come to need them. Repeatable. */
export function holdWebClasses(form: Form): void {
  if (form === 'fetch' || form === 'auto') webClasses();
}

export function webClasses(): WebClasses {
  held ??= { Request: globalThis.Request, ReadableStream: globalThis.ReadableStream };
  return held;
}
