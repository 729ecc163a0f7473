/** Runs the top level of a revision and gives what it exports. */
import module from 'node:module';
import { pathToFileURL } from 'node:url';
import vm from 'node:vm';
import type { LoadSpec } from '../contracts/frames.ts';
import type { LoadParts } from '../kernel/frame-heads.ts';
import { createTenantRequire, notFound } from './tenant-require.ts';

/** Where tenants' code seems to lie; there is no such folder. */
export const CODE_DIR = '/fn';

export interface Evaluated {
  readonly exported: unknown;
  /** `exported` is the namespace of an ES module. */
  readonly isNamespace: boolean;
}

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

/** `compileFunction` and not a text around the code: lines and columns are the tenant's, and `return` is legal. */
function evaluateScript({ spec, code, codeCache }: Code, webtask: unknown): Evaluated {
  const filename = `${CODE_DIR}/${spec.filename}`;
  const parameters = ['exports', 'require', 'module', '__filename', '__dirname'];
  const body = vm.compileFunction(sourceText(code), parameters, {
    filename,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    ...(codeCache === null ? {} : { cachedData: codeCache as Buffer }),
  });
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
  const returned: unknown = Reflect.apply(body, exports, [
    exports,
    tenantRequire,
    tenantModule,
    filename,
    CODE_DIR,
  ]);
  return { exported: returned === undefined ? tenantModule.exports : returned, isNamespace: false };
}

/** The code of the one ES module, under the address that its stack traces show. */
const sources = new Map<string, string>();
let isHooked = false;

async function evaluateModule({ spec, code }: Code): Promise<Evaluated> {
  const url = pathToFileURL(`${CODE_DIR}/${spec.filename}`).href;
  hookImports();
  sources.set(url, sourceText(code));
  return { exported: await import(url), isNamespace: true };
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

/** Without a byte order mark; an interpreter line becomes a comment of the same length. */
function sourceText(code: Uint8Array): string {
  const text = Buffer.from(code.buffer, code.byteOffset, code.byteLength).toString('utf8');
  const start = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  return start.startsWith('#!') ? `//${start.slice(2)}` : start;
}
