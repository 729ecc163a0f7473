/** Webtasks as functions of the platform: find, list, show, keep, remove. */
import { BerthError } from '../contracts/errors.ts';
import type { FunctionName, TenantId } from '../contracts/ids.ts';
import type { FunctionRecord, WebtaskRecord } from '../contracts/model.ts';
import type { Control } from '../control/control.ts';
import type { FunctionSettings } from '../store/store.ts';
import { isHidden } from './names.ts';

const PAGE = 500;
/** Empty code is legal for webtask's clients; here it is kept as a program that cannot be called, and shown as ''. */
const EMPTY_PROGRAM = Buffer.from('module.exports = undefined; // empty webtask');

export interface Webtask extends FunctionRecord {
  readonly webtask: WebtaskRecord;
}

/** A webtask as clients read it. */
export interface WebtaskView {
  readonly container: string;
  readonly name: string;
  readonly token: string;
  readonly meta: Readonly<Record<string, string>>;
  readonly webtask_url: string;
  readonly secrets?: Readonly<Record<string, string>>;
  readonly code?: string;
}

export interface ViewOptions {
  readonly decrypt: boolean;
  readonly fetchCode: boolean;
  /** scheme and host */
  readonly base: string;
}

export interface ListOptions {
  readonly offset: number;
  readonly limit: number;
  /** all of these pairs must match */
  readonly meta: ReadonlyMap<string, string>;
  /** null: all */
  readonly names: ReadonlySet<string> | null;
}

export type NewCode = { readonly source: Uint8Array } | null;

export class Webtasks {
  readonly #control: Control;

  constructor(control: Control) {
    this.#control = control;
  }

  /** The function of that name, whoever deployed it. null: none */
  async find(tenant: TenantId, name: FunctionName): Promise<FunctionRecord | null> {
    try {
      return await this.#control.getFunction(tenant, name);
    } catch (error) {
      if (isCode(error, 'NOT_FOUND')) return null;
      throw error;
    }
  }

  /** @throws BerthError NOT_FOUND, also for functions that were deployed by other ways: they have no webtask token */
  async get(tenant: TenantId, name: FunctionName): Promise<Webtask> {
    const fn = await this.find(tenant, name);
    if (fn === null || !isWebtask(fn))
      throw new BerthError('NOT_FOUND', { what: `webtask ${tenant}/${name}` });
    return fn;
  }

  /** In the order of names, without what the platform keeps behind unnamed tokens. */
  async list(tenant: TenantId, options: ListOptions): Promise<readonly Webtask[]> {
    const found: Webtask[] = [];
    let skip = options.offset;
    for await (const fn of this.#each(tenant)) {
      if (!isWebtask(fn) || isHidden(fn.name) || !matches(fn, options)) continue;
      if (skip-- > 0) continue;
      found.push(fn);
      if (found.length >= options.limit) break;
    }
    return found;
  }

  async view(fn: Webtask, options: ViewOptions): Promise<WebtaskView> {
    return {
      container: fn.tenant,
      name: fn.name,
      token: fn.webtask.token,
      meta: fn.meta,
      webtask_url: webtaskUrl(options.base, fn),
      ...(options.decrypt ? { secrets: await this.#control.getSecrets(fn.tenant, fn.name) } : {}),
      ...(options.fetchCode ? { code: await this.code(fn) } : {}),
    };
  }

  /** The code as it was sent; '' when there is none. */
  async code(fn: FunctionRecord): Promise<string> {
    if (fn.activeRevision === null) return '';
    const source = await this.#control.getSource(fn.tenant, fn.name, fn.activeRevision);
    return EMPTY_PROGRAM.equals(source) ? '' : Buffer.from(source).toString();
  }

  /** Deploys code with its settings, or changes only the settings when `code` is null. */
  async keep(
    place: { readonly tenant: TenantId; readonly name: FunctionName },
    code: NewCode,
    settings: FunctionSettings,
  ): Promise<FunctionRecord> {
    const { tenant, name } = place;
    if (code === null) return this.#control.updateFunction(tenant, name, settings);
    const source = code.source.length === 0 ? EMPTY_PROGRAM : code.source;
    const request = { tenant, fn: name, source, settings };
    try {
      return (await this.#control.deploy(request)).fn;
    } catch (error) {
      if (!isCode(error, 'CODE_INVALID')) throw error;
      return this.#deployTypeScript(request, error);
    }
  }

  async remove(tenant: TenantId, name: FunctionName): Promise<void> {
    await this.get(tenant, name);
    await this.#control.deleteFunction(tenant, name);
  }

  /** Removes hidden webtasks whose token has expired. @returns how many */
  async sweep(tenant: TenantId, isExpired: (token: string) => boolean): Promise<number> {
    let removed = 0;
    for await (const fn of this.#each(tenant)) {
      if (!isHidden(fn.name) || fn.webtask === null || !isExpired(fn.webtask.token)) continue;
      await this.#control.deleteFunction(tenant, fn.name);
      removed++;
    }
    return removed;
  }

  /** Clients send no file name, so what is not JavaScript may be TypeScript. @throws the error of the first attempt */
  async #deployTypeScript(
    request: Parameters<Control['deploy']>[0],
    firstError: BerthError,
  ): Promise<FunctionRecord> {
    try {
      return (await this.#control.deploy({ ...request, filename: 'index.ts' })).fn;
    } catch (error) {
      if (isCode(error, 'CODE_INVALID')) throw firstError;
      throw error;
    }
  }

  async *#each(tenant: TenantId): AsyncGenerator<FunctionRecord> {
    let after: string | undefined;
    for (;;) {
      const page = await this.#control.listFunctions(tenant, {
        limit: PAGE,
        ...(after === undefined ? {} : { after }),
      });
      yield* page;
      if (page.length < PAGE) return;
      after = page.at(-1)!.name;
    }
  }
}

export function isWebtask(fn: FunctionRecord): fn is Webtask {
  return fn.webtask !== null;
}

/** Where a webtask runs; an unnamed one by its token. */
export function webtaskUrl(base: string, fn: Webtask): string {
  const container = `${base}/api/run/${fn.tenant}`;
  return isHidden(fn.name)
    ? `${container}?key=${encodeURIComponent(fn.webtask.token)}`
    : `${container}/${fn.name}`;
}

function matches(fn: FunctionRecord, { meta, names }: ListOptions): boolean {
  if (names !== null && !names.has(fn.name)) return false;
  for (const [key, value] of meta) if (fn.meta[key] !== value) return false;
  return true;
}

function isCode(error: unknown, code: BerthError['code']): error is BerthError {
  return error instanceof BerthError && error.code === code;
}
