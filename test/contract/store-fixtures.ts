/** What the suites of the store share. */
import { BerthError } from '../../src/contracts/errors.ts';
import { functionNameSchema, revisionIdSchema, tenantIdSchema } from '../../src/contracts/ids.ts';
import type { Bytecode, LogRecord, WebtaskRecord } from '../../src/contracts/model.ts';
import type { FunctionSettings, Store, StoreChange } from '../../src/store/store.ts';

export interface OpenedStore {
  readonly store: Store;
  /** Sets what the store's clock says, milliseconds since 1970. */
  setTime(now: number): void;
  /** How many pieces of content are kept, all tenants together. */
  countCode(): Promise<number>;
  close(): Promise<void>;
}

export const acme = tenantIdSchema.parse('acme');
export const other = tenantIdSchema.parse('other');
export const hello = functionNameSchema.parse('hello');
const keepRevisions = 50;
const maxFunctions = 1_000;

export function revisionId(n: number): ReturnType<typeof revisionIdSchema.parse> {
  return revisionIdSchema.parse(`r${n.toString(16).padStart(24, '0')}`);
}

export function newDeploy(
  n: number,
  options: {
    tenant?: typeof acme;
    fn?: typeof hello;
    settings?: FunctionSettings;
    code?: string | Uint8Array;
    bytecode?: Bytecode;
    keepRevisions?: number;
    maxFunctions?: number;
  } = {},
): Parameters<Store['deploy']>[0] {
  const code = options.code ?? `module.exports = (cb) => cb(null, ${n});`;
  const bytes = typeof code === 'string' ? Buffer.from(code) : code;
  return {
    revision: {
      id: revisionId(n),
      tenant: options.tenant ?? acme,
      fn: options.fn ?? hello,
      form: 'webtask',
      isFormFixed: false,
      moduleKind: 'commonjs',
      language: 'javascript',
      evaluate: 'script',
      filename: 'hello.js',
      nodeRange: null,
      sourceBytes: bytes.length,
    },
    prepared: { code: bytes, sourceMap: Buffer.from('{"version":3}'), source: bytes },
    bytecode: options.bytecode ?? null,
    settings: options.settings ?? {},
    keepRevisions: options.keepRevisions ?? keepRevisions,
    maxFunctions: options.maxFunctions ?? maxFunctions,
  };
}

/** The code of the BerthError that it rejects with. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof BerthError)) throw new Error('no BerthError was thrown', { cause: error });
  return error.code;
}

export function line(n: number, options: Partial<LogRecord> = {}): LogRecord {
  return {
    at: 1_000 + n,
    tenant: acme,
    fn: hello,
    revision: null,
    invocation: `i${n}`,
    source: 'console',
    level: 'info',
    text: `line ${n}`,
    ...options,
  };
}

export const webtask: WebtaskRecord = {
  token: 'eyJ.the.token',
  jti: 'j1',
  parseBody: 2,
  mergeBody: true,
  params: { b: '2', a: '1' },
  host: null,
};

/** A store with the tenant `acme`, and the changes that it told of since then. Fresh for each test. */
export interface StoreUnderTest extends OpenedStore {
  readonly changes: StoreChange[];
}

export async function withAcme(open: () => Promise<OpenedStore>): Promise<StoreUnderTest> {
  const opened = await open();
  opened.setTime(1_000);
  await opened.store.createTenant({ id: acme, name: 'Acme', limits: {} });
  const changes: StoreChange[] = [];
  opened.store.onChange((change) => changes.push(change));
  return { ...opened, changes };
}
