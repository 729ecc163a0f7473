/** `require` and `import` of tenants' code: Node's own modules, and a clear word about everything else. */
import module from 'node:module';

const isBuiltin = module.isBuiltin;
const getBuiltin = process.getBuiltinModule.bind(process) as (id: string) => unknown;
const WITH_VERSION = /^(@[^/]+\/)?[^/@]+@[^/]+/;

export interface TenantRequire {
  (id: string): unknown;
  resolve(id: string): string;
  readonly cache: Record<string, unknown>;
  readonly main: undefined;
}

export function createTenantRequire(): TenantRequire {
  const resolve = (id: string): string => {
    if (typeof id !== 'string' || !isBuiltin(id)) throw notFound(String(id));
    return id;
  };
  const load = (id: string): unknown => getBuiltin(resolve(id));
  return Object.assign(load, {
    resolve,
    cache: Object.create(null) as Record<string, unknown>,
    main: undefined,
  });
}

/** Says which module is missing and what to do. */
export function notFound(id: string): Error {
  const error = new Error(`Cannot find module '${id}'. ${wayOut(id)}`);
  return Object.assign(error, { code: 'MODULE_NOT_FOUND' });
}

function wayOut(id: string): string {
  if (id.startsWith('.') || id.startsWith('/'))
    return 'A single file was deployed; deploy the folder, then its files are bundled with it.';
  if (WITH_VERSION.test(id))
    return 'Modules by version are not installed on this platform; deploy a folder that has it installed.';
  return 'Only modules of Node itself are there; deploy a folder that has it installed, then it is bundled.';
}
