/**
 * TypeScript leaves imports out whose names are used as types only. Blanking types out does not do that, and Node would
 * then fail on `import { RequestOptions } from 'node:http'`. This blanks such imports out as well; nothing moves.
 */
import type * as acorn from 'acorn';

interface Range {
  readonly start: number;
  readonly end: number;
}

/** @param code TypeScript with its types blanked out, and its tree */
export function blankUnusedImports(code: string, program: acorn.Program): string {
  const imports = program.body.filter((node) => node.type === 'ImportDeclaration');
  if (imports.every(({ specifiers }) => specifiers.length === 0)) return code;
  const used = namesUsed(program);
  return blanked(
    code,
    imports.flatMap((node) => unusedRanges(node, used, code)),
  );
}

/** @param ranges ascending, none within another */
function blanked(code: string, ranges: readonly Range[]): string {
  const pieces: string[] = [];
  let at = 0;
  for (const { start, end } of ranges) {
    pieces.push(code.slice(at, start), code.slice(start, end).replace(/[^\r\n]/g, ' '));
    at = end;
  }
  return pieces.join('') + code.slice(at);
}

function unusedRanges(node: acorn.ImportDeclaration, used: ReadonlySet<string>, code: string): Range[] {
  const unused = node.specifiers.filter(({ local }) => !used.has(local.name));
  if (node.specifiers.length === 0 || unused.length === 0) return [];
  if (unused.length === node.specifiers.length) return [node];
  return unused.map((specifier) => ({ start: specifier.start, end: afterComma(code, specifier.end) }));
}

/** The comma behind a name goes with it: `{ A, b }` becomes `{    b }`. */
function afterComma(code: string, end: number): number {
  const comma = /^(?:\s|\/\*[^]*?\*\/)*,/.exec(code.slice(end, end + 1_000));
  return comma === null ? end : end + comma[0].length;
}

/** Every identifier outside of import declarations that is not just the name of a property. */
function namesUsed(program: acorn.Program): ReadonlySet<string> {
  const names = new Set<string>();
  const stack: unknown[] = program.body.filter(({ type }) => type !== 'ImportDeclaration');
  while (stack.length > 0) {
    const node = stack.pop();
    // One by one: an array may hold more than a call takes arguments.
    if (Array.isArray(node)) for (const one of node as unknown[]) stack.push(one);
    else if (typeof node === 'object' && node !== null) visit(node as acorn.AnyNode, names, stack);
  }
  return names;
}

function visit(node: acorn.AnyNode, names: Set<string>, stack: unknown[]): void {
  if (node.type === 'Identifier') {
    names.add(node.name);
    return;
  }
  const isNamed = 'computed' in node && !node.computed;
  const isShorthand = node.type === 'Property' && node.shorthand;
  const skipped = isNamed && !isShorthand ? (node.type === 'MemberExpression' ? 'property' : 'key') : null;
  for (const [key, value] of Object.entries(node)) {
    if (key !== skipped && typeof value === 'object' && value !== null && !(value instanceof RegExp))
      stack.push(value);
  }
}
