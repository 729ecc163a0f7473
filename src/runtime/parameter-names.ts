/** The parameters of a function, read from its text: how the runtime tells forms apart where the deploy could not. */
import type { FunctionShape, ModuleKind } from '../contracts/forms.ts';

const toText = Function.prototype.toString;
const MAX_TEXT = 4_000;
const SINGLE = /^(?:async\s*)?([\p{ID_Start}$_][\p{ID_Continue}$]*)\s*=>/u;

/** null for what is no plain function: a class. */
export function shapeOf(fn: (...values: never[]) => unknown, moduleKind: ModuleKind): FunctionShape | null {
  const text = withoutComments(toText.call(fn).slice(0, MAX_TEXT));
  if (/^class\b/.test(text)) return null;
  const parameters = /\[native code\]\s*\}\s*$/.test(text) ? unnamed(fn.length) : parametersOf(text);
  return { moduleKind, parameters: parameters ?? unnamed(fn.length), isAsync: /^async\b/.test(text) };
}

function unnamed(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `p${index}`);
}

function parametersOf(text: string): string[] | null {
  const single = SINGLE.exec(text);
  if (single !== null) return [single[1]!];
  const open = text.indexOf('(');
  if (open === -1) return null;
  const parts: string[] = [];
  let depth = 0;
  let start = open + 1;
  for (let at = open; at < text.length; at++) {
    const char = text[at]!;
    if (char === '"' || char === "'" || char === '`') at = stringEnd(text, at);
    else if (char === '(' || char === '[' || char === '{') depth++;
    else if (char === ')' || char === ']' || char === '}') depth--;
    const isLast = depth === 0;
    if (isLast || (char === ',' && depth === 1)) {
      const part = text.slice(start, at).trim();
      if (part !== '') parts.push(nameOf(part));
      start = at + 1;
    }
    if (isLast) return parts;
  }
  return null;
}

/** Without a default value: `a = {}` is `a`. */
function nameOf(part: string): string {
  return /^([\p{ID_Start}$_][\p{ID_Continue}$]*)\s*=/u.exec(part)?.[1] ?? part;
}

function stringEnd(text: string, start: number): number {
  const quote = text[start];
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === quote) return at;
  }
  return text.length;
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[^]*?\*\//g, ' ').replace(/(^|[\s(,])\/\/[^\n]*/g, '$1');
}
