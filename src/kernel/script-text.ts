/** The text that a CommonJS script is compiled as: alike in sandboxes and where its bytecode is made, or V8 refuses that. */

/** On a line of its own, which `lineOffset` takes back: lines and columns are the tenant's, and `return` is legal. */
const HEAD = '(function (exports, require, module, __filename, __dirname) {\n';
const TAIL = '\n})';

/** For `vm.Script`; its value is the function. */
export function scriptText(code: Uint8Array): string {
  return `${HEAD}${sourceText(code)}${TAIL}`;
}

export const SCRIPT_LINE_OFFSET = -1;

/** Without a byte order mark; an interpreter line becomes a comment of the same length. */
export function sourceText(code: Uint8Array): string {
  const text = Buffer.from(code.buffer, code.byteOffset, code.byteLength).toString('utf8');
  const start = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  return start.startsWith('#!') ? `//${start.slice(2)}` : start;
}
