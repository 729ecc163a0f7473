/** Runs the top level of a revision and gives what it exports. */
import module from 'node:module';
import { pathToFileURL } from 'node:url';
import vm from 'node:vm';
import type { LoadSpec } from '../contracts/frames.ts';
import type { LoadParts } from '../kernel/frame-heads.ts';
import { SCRIPT_LINE_OFFSET, scriptText, sourceText } from '../kernel/script-text.ts';
import { createTenantRequire, notFound } from './tenant-require.ts';

/** Where tenants' code seems to lie; there is no such folder. */
export const CODE_DIR = '/fn';

export interface Evaluated {
  readonly exported: unknown;
  /** `exported` is the namespace of an ES module. */
  readonly isNamespace: boolean;
  /** What V8 did with the bytecode; null when there was none. */
  readonly bytecode: 'taken' | 'refused' | null;
}

type Body = (...values: readonly unknown[]) => unknown;

interface TenantModule {
  exports: unknown;
  readonly [name: string]: unknown;
}

export type Code = { readonly spec: LoadSpec } & LoadParts;

/** @param webtask what `module.webtask` shall be */
export async function evaluate(code: Code, webtask: unknown): Promise<Evaluated> {
  if (code.spec.evaluate === 'script') return evaluateScript(code, webtask);
  const evaluated = await evaluateModule(code);
  return evaluated;
}

function evaluateScript(code: Code, webtask: unknown): Evaluated {
  const filename = `${CODE_DIR}/${code.spec.filename}`;
  const script = compile(code, filename);
  const tenantRequire = createTenantRequire();
  const exports = {};
  const tenantModule: TenantModule = {
    exports,
    id: '.',
    filename,
    path: CODE_DIR,
    loaded: false,
    children: [],
    paths: [],
    parent: null,
    require: tenantRequire,
    webtask,
  };
  const returned: unknown = Reflect.apply(script.body, exports, [
    exports,
    tenantRequire,
    tenantModule,
    filename,
    CODE_DIR,
  ]);
  const exported = returned === undefined ? tenantModule.exports : returned;
  return { exported, isNamespace: false, bytecode: script.bytecode };
}

function compile(
  { code, bytecode }: Code,
  filename: string,
): { body: Body; bytecode: Evaluated['bytecode'] } {
  const script = new vm.Script(scriptText(code), {
    filename,
    lineOffset: SCRIPT_LINE_OFFSET,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    ...(bytecode === null ? {} : { cachedData: bytecode as Buffer }),
  });
  const body = script.runInThisContext() as Body;
  if (bytecode === null) return { body, bytecode: null };
  return { body, bytecode: script.cachedDataRejected === true ? 'refused' : 'taken' };
}

/** The code of the one ES module, under the address that its stack traces show. */
const sources = new Map<string, string>();
let isHooked = false;

async function evaluateModule({ spec, code }: Code): Promise<Evaluated> {
  const url = pathToFileURL(`${CODE_DIR}/${spec.filename}`).href;
  hookImports();
  sources.set(url, sourceText(code));
  return { exported: await import(url), isNamespace: true, bytecode: null };
}

/** Serves ES modules from memory, and refuses with a clear word what is neither that nor Node's own. */
export function hookImports(): void {
  if (isHooked) return;
  isHooked = true;
  module.registerHooks({
    resolve: (specifier, context, next) => {
      if (sources.has(specifier)) return { url: specifier, format: 'module', shortCircuit: true };
      if (module.isBuiltin(specifier) || /^(?:file|data|node):/.test(specifier))
        return next(specifier, context);
      if (isFromTenant(context.parentURL)) throw notFound(specifier);
      return next(specifier, context);
    },
    load: (url, context, next) => {
      const source = sources.get(url);
      return source === undefined ? next(url, context) : { format: 'module', source, shortCircuit: true };
    },
  });
}

function isFromTenant(parent: string | undefined): boolean {
  return parent === undefined || parent.startsWith(`file://${CODE_DIR}/`) || parent.startsWith(CODE_DIR);
}
