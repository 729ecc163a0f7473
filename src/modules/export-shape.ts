/** Tells a program's form from its syntax tree: what it exports, and with which parameters. */
import type * as acorn from 'acorn';
import { classifyFunction, type Form, type ModuleKind } from '../contracts/forms.ts';

type Node = acorn.AnyNode;
type FunctionNode = acorn.Function;

/** What the program exports, as far as its top level shows. */
interface Found {
  /** `module.exports =`, `export default`, a top-level `return` */
  main: Node | null;
  /** `exports.x =`, `export const x`; null for a value that the text does not show */
  readonly named: Map<string, Node | null>;
  /** Exports there are, but not readable ones. */
  isOpaque: boolean;
}

const MAX_STEPS = 8;

export function formOf(program: acorn.Program, text: string, moduleKind: ModuleKind): Form {
  const scope = declarationsOf(program);
  const found = findExports(program);
  const main = found.main ?? found.named.get('default') ?? null;
  if (main !== null) {
    const form = formOfValue(resolve(main, scope), { scope, text, moduleKind });
    // `module.exports = app; module.exports.handler = …`: only the value itself can tell.
    return form === null || found.isOpaque ? 'auto' : form;
  }
  if (found.isOpaque) return 'auto';
  if (found.named.has('handler')) return 'lambda';
  return found.named.has('fetch') ? 'fetch' : 'auto';
}

/** True when there is no export, no top-level `return` and no `listen`: nothing that could ever be called. */
export function isWithoutExports(program: acorn.Program, text: string): boolean {
  const found = findExports(program);
  if (found.main !== null || found.named.size > 0 || found.isOpaque) return false;
  return !/\b(?:module|exports|listen|return|this|eval|require)\b/.test(text);
}

/**
 * True for what Babel made of webtask's `"use latest"`, and TypeScript makes of any source: imports, and an assignment to
 * `module.exports`. As an ES module it could only fail, for there is no `module` in one.
 */
export function isMixed(program: acorn.Program): boolean {
  if (program.body.some(({ type }) => type.startsWith('Export'))) return false;
  if (!program.body.some(({ type }) => type === 'ImportDeclaration')) return false;
  const found = findExports(program);
  return found.main !== null || found.named.size > 0;
}

function findExports(program: acorn.Program): Found {
  const found: Found = { main: null, named: new Map(), isOpaque: false };
  for (const statement of program.body) {
    if (statement.type === 'ReturnStatement') found.main = statement.argument ?? null;
    else if (statement.type === 'ExpressionStatement') fromAssignment(statement.expression, found);
    else if (statement.type === 'ExportDefaultDeclaration') found.main = statement.declaration;
    else if (statement.type === 'ExportNamedDeclaration') fromNamed(statement, found);
    else if (statement.type === 'ExportAllDeclaration') found.isOpaque = true;
  }
  return bundledExports(program, found) ?? found;
}

/**
 * What an ES module exports is in esbuild's bundles `module.exports = __toCommonJS(x)` with `__export(x, { name: () => value })`
 * beside it, and `__reExport(x, …)` for what comes from elsewhere. @returns null where that is not what is there
 */
function bundledExports(program: acorn.Program, { main }: Found): Found | null {
  const target = main === null ? null : calledWith('__toCommonJS', main)[0];
  if (target?.type !== 'Identifier') return null;
  const found: Found = { main: null, named: new Map(), isOpaque: false };
  let isFound = false;
  for (const statement of program.body) {
    if (statement.type !== 'ExpressionStatement') continue;
    const { expression } = statement;
    if (isNamed(calledWith('__reExport', expression)[0], target.name)) found.isOpaque = true;
    const [of, getters] = calledWith('__export', expression);
    if (!isNamed(of, target.name) || getters?.type !== 'ObjectExpression') continue;
    isFound = true;
    for (const getter of getters.properties) addGetter(getter, found);
  }
  return isFound ? found : null;
}

/** `name: () => value` */
function addGetter(getter: acorn.Property | acorn.SpreadElement, found: Found): void {
  if (getter.type === 'SpreadElement' || getter.computed) return;
  const { key, value } = getter;
  const name = key.type === 'Identifier' ? key.name : key.type === 'Literal' ? String(key.value) : null;
  const isShown = value.type === 'ArrowFunctionExpression' && value.body.type === 'Identifier';
  if (name !== null) found.named.set(name, isShown ? value.body : null);
}

function calledWith(name: string, node: Node): readonly (Node | undefined)[] {
  return node.type === 'CallExpression' && isNamed(node.callee, name) ? node.arguments : [];
}

function isNamed(node: Node | undefined, name: string): boolean {
  return node?.type === 'Identifier' && node.name === name;
}

function fromNamed(statement: acorn.ExportNamedDeclaration, found: Found): void {
  const { declaration, source } = statement;
  if (declaration?.type === 'VariableDeclaration') {
    for (const { id, init } of declaration.declarations)
      if (id.type === 'Identifier') found.named.set(id.name, init ?? null);
  } else if (declaration) found.named.set(declaration.id.name, declaration);
  for (const { exported, local } of statement.specifiers) {
    const name = exported.type === 'Identifier' ? exported.name : String(exported.value);
    if (name === 'default' && source) found.isOpaque = true;
    else if (name === 'default') found.main = local;
    else found.named.set(name, source ? null : local);
  }
}

function fromAssignment(expression: Node, found: Found): void {
  if (expression.type !== 'AssignmentExpression') return;
  const { left, right } = expression;
  const member = left.type === 'MemberExpression' ? memberPath(left) : null;
  if (right.type === 'AssignmentExpression') fromAssignment(right, found);
  if (member === 'module.exports') found.main = right;
  else if (member !== null) {
    const name = /^(?:module\.)?exports\.(.+)$/.exec(member)?.[1];
    if (name !== undefined) found.named.set(name, right);
  }
}

/** `module.exports.handler`; null for anything that is not names and dots */
function memberPath(node: Node): string | null {
  if (node.type === 'Identifier') return node.name;
  if (node.type !== 'MemberExpression') return null;
  const object = memberPath(node.object);
  const { property, computed } = node;
  if (object === null) return null;
  if (!computed && property.type === 'Identifier') return `${object}.${property.name}`;
  return property.type === 'Literal' && typeof property.value === 'string'
    ? `${object}.${property.value}`
    : null;
}

/** Names that are declared once at the top level, with their value; null for one that is assigned again. */
function declarationsOf(program: acorn.Program): ReadonlyMap<string, Node | null> {
  const scope = new Map<string, Node | null>();
  for (const statement of program.body) {
    const isExport =
      statement.type === 'ExportNamedDeclaration' || statement.type === 'ExportDefaultDeclaration';
    const node = isExport ? statement.declaration : statement;
    if ((node?.type === 'FunctionDeclaration' || node?.type === 'ClassDeclaration') && node.id)
      scope.set(node.id.name, node);
    else if (node?.type === 'VariableDeclaration') {
      for (const { id, init } of node.declarations)
        if (id.type === 'Identifier') scope.set(id.name, init ?? null);
    } else if (node?.type === 'ExpressionStatement' && node.expression.type === 'AssignmentExpression') {
      const { left } = node.expression;
      // `app = …` or `app.handle = …`: what it is at the end, only the run can tell.
      const path = memberPath(left as Node)?.split('.', 1)[0];
      if (path !== undefined && scope.has(path)) scope.set(path, null);
    }
  }
  return scope;
}

function resolve(start: Node, scope: ReadonlyMap<string, Node | null>): Node | null {
  let node: Node | null = start;
  for (let step = 0; step < MAX_STEPS && node !== null; step++) {
    if (node.type === 'Identifier') node = scope.get(node.name) ?? null;
    else if (node.type === 'AssignmentExpression') node = node.right;
    else if (node.type === 'SequenceExpression') node = node.expressions.at(-1) ?? null;
    // esbuild's keepNames: `__name(value, "name")` is the value.
    else if (calledWith('__name', node).length === 2) node = calledWith('__name', node)[0] ?? null;
    else return node;
  }
  return null;
}

interface Around {
  readonly scope: ReadonlyMap<string, Node | null>;
  readonly text: string;
  readonly moduleKind: ModuleKind;
}

function formOfValue(node: Node | null, around: Around): Form | null {
  if (node === null) return null;
  if (isFunction(node)) return classifyFunction(shapeOf(node, around));
  if (node.type !== 'ObjectExpression') return null;
  const names = new Set<string>();
  for (const property of node.properties) {
    if (property.type === 'SpreadElement') return null;
    if (property.key.type === 'Identifier' && !property.computed) names.add(property.key.name);
  }
  if (names.has('fetch')) return 'fetch';
  return names.has('handler') ? 'lambda' : null;
}

function isFunction(node: Node): node is FunctionNode & Node {
  return (
    node.type === 'FunctionDeclaration' ||
    node.type === 'FunctionExpression' ||
    node.type === 'ArrowFunctionExpression'
  );
}

function shapeOf(node: FunctionNode, { text, moduleKind }: Around): Parameters<typeof classifyFunction>[0] {
  const parameters = node.params.map((parameter) => {
    const pattern = parameter.type === 'AssignmentPattern' ? parameter.left : parameter;
    return pattern.type === 'Identifier' ? pattern.name : text.slice(pattern.start, pattern.end);
  });
  return { moduleKind, parameters, isAsync: node.async };
}
