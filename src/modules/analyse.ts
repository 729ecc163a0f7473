/** Checks a source's syntax and reads its module kind and form. Runs in a worker thread: hostile text may take long or much. */
import module from 'node:module';
import vm from 'node:vm';
import * as acorn from 'acorn';
import type { ModuleKind } from '../contracts/forms.ts';
import type { Analysis, AnalysisRequest } from './analysis.ts';
import { formOf, isMixed, isWithoutExports } from './export-shape.ts';
import { blankUnusedImports } from './unused-imports.ts';

/** Above this no syntax tree is made: the form is left to the runtime. */
const MAX_TREE_CHARS = 2 * 1024 * 1024;
const MAX_SHOWN_CHARS = 40;
const SCRIPT_PARAMETERS = ['exports', 'require', 'module', '__filename', '__dirname'];
/** Blanks within the line only: `\s` would run on over empty lines from each of them, and take hours for a megabyte of them. */
const MODULE_SYNTAX = /^[^\S\n\r\u2028\u2029]*(?:import|export)\b/m;

type Evaluate = 'script' | 'module';
type Invalid = Extract<Analysis, { kind: 'invalid' }>;

export function analyse(request: AnalysisRequest): Analysis {
  try {
    if (!request.isTypeScript) return analyseJavaScript(request.text, request);
    return analyseTypeScript(request);
  } catch (error) {
    if (error instanceof RangeError) return { kind: 'too-deep' };
    throw error;
  }
}

function analyseTypeScript(request: AnalysisRequest): Analysis {
  if (request.text.length > MAX_TREE_CHARS) return { kind: 'not-erasable' };
  let code: string;
  try {
    code = module.stripTypeScriptTypes(request.text, { mode: 'strip' });
  } catch (error) {
    if (error instanceof RangeError) throw error;
    return { kind: 'not-erasable' };
  }
  const analysis = analyseJavaScript(code, request, true);
  // What is left is not JavaScript: esbuild says what is wrong, or can do what blanking out cannot.
  return analysis.kind === 'invalid' ? { kind: 'not-erasable' } : analysis;
}

function analyseJavaScript(text: string, request: AnalysisRequest, areImportsTyped = false): Analysis {
  if (text.length > MAX_TREE_CHARS) return withoutTree(text, request);
  const parsed = parse(text, request.moduleKind);
  if (parsed.kind === 'invalid') return parsed;
  const { evaluate, program } = parsed;
  if (evaluate === 'module' && request.moduleKind === null && program !== null && isMixed(program))
    return { kind: 'mixed' };
  const code =
    areImportsTyped && evaluate === 'module' && program !== null ? blankUnusedImports(text, program) : text;
  if (program === null) return { kind: 'fine', code, evaluate, form: 'auto', exportsNothing: false };
  const moduleKind =
    request.moduleKind ?? request.declaredKind ?? (evaluate === 'module' ? 'esm' : 'commonjs');
  return {
    kind: 'fine',
    code,
    evaluate,
    form: formOf(program, text, moduleKind),
    exportsNothing: isWithoutExports(program, text),
  };
}

type Parsed = Invalid | { kind: 'parsed'; evaluate: Evaluate; program: acorn.Program | null };

/** As a script where it can be one; as an ES module where its name or its syntax says so. */
function parse(text: string, moduleKind: ModuleKind | null): Parsed {
  const asScript = moduleKind === 'esm' ? null : parseAs('script', text);
  if (asScript?.kind === 'parsed') return checkedByV8(text, asScript);
  if (moduleKind !== 'commonjs') {
    const asModule = parseAs('module', text);
    if (asModule.kind === 'parsed' || asScript === null) return asModule;
    if (hasModuleSyntax(text, asScript)) return asModule;
  }
  // V8 has the last word: it knows syntax that acorn does not know yet.
  return compiles(text) === null ? { kind: 'parsed', evaluate: 'script', program: null } : asScript!;
}

function parseAs(evaluate: Evaluate, text: string): Parsed {
  try {
    const program = acorn.parse(text, {
      ecmaVersion: 'latest',
      sourceType: evaluate,
      allowHashBang: true,
      allowReturnOutsideFunction: evaluate === 'script',
    });
    return { kind: 'parsed', evaluate, program };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const { loc, pos } = error as SyntaxError & { loc?: acorn.Position; pos?: number };
    const reason = error.message.replace(/ \(\d+:\d+\)$/, '');
    return {
      kind: 'invalid',
      reason: reason === 'Unexpected token' ? `Unexpected ${tokenAt(text, pos ?? 0)}` : reason,
      line: loc?.line ?? 1,
      column: (loc?.column ?? 0) + 1,
    };
  }
}

/** acorn says where, but not at what. */
function tokenAt(text: string, position: number): string {
  const rest = text.slice(position, position + MAX_SHOWN_CHARS);
  const token = /^(?:[\p{L}\p{N}_$]+|.)/u.exec(rest)?.[0];
  return token === undefined ? 'end of the code' : `"${token}"`;
}

/** The script failed on `import`, `export` or `await`: then the error as a module is the one that helps. */
function hasModuleSyntax(text: string, failed: Invalid): boolean {
  if (/'import' and 'export'|'import\.meta'/.test(failed.reason)) return true;
  return MODULE_SYNTAX.test(text);
}

function checkedByV8(text: string, parsed: Parsed): Parsed {
  return compiles(text) ?? parsed;
}

/** V8 finds what acorn does not look for. @returns null when it compiles */
function compiles(text: string): Invalid | null {
  const plain = text.startsWith('#!') ? `//${text.slice(2)}` : text;
  try {
    vm.compileFunction(plain, SCRIPT_PARAMETERS, { filename: 'source' });
    return null;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const [place = '', , marks = ''] = (error.stack ?? '').split('\n');
    const line = Number(/:(\d+)$/.exec(place)?.[1] ?? 1);
    return { kind: 'invalid', reason: error.message, line, column: Math.max(1, marks.indexOf('^') + 1) };
  }
}

/** Large code: only V8 looks at it. What is no script is taken for an ES module, which is checked when it loads. */
function withoutTree(text: string, { moduleKind }: AnalysisRequest): Analysis {
  const fine = (evaluate: Evaluate): Analysis => ({
    kind: 'fine',
    code: text,
    evaluate,
    form: 'auto',
    exportsNothing: false,
  });
  if (moduleKind === 'esm') return fine('module');
  const failure = compiles(text);
  if (failure === null) return fine('script');
  const isModule = moduleKind === null && MODULE_SYNTAX.test(text);
  return isModule ? fine('module') : failure;
}
