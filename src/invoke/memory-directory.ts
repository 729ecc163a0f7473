/**
 * The routing table: filled from the store at start, kept true by its changes. A change is read anew and swapped in at once,
 * so a request sees one whole route, and whoever awaits `settled` after a change knows that the next request sees it.
 */
import type { EgressPolicy } from '../contracts/egress.ts';
import type { FunctionName, TenantId } from '../contracts/ids.ts';
import type { Limits } from '../contracts/limits.ts';
import type { FunctionRecord, Tenant } from '../contracts/model.ts';
import type { Clock } from '../kernel/clock.ts';
import { withDeadline } from '../kernel/deadline.ts';
import type { Store, StoreChange } from '../store/store.ts';
import { ChangeQueue } from './change-queue.ts';
import { CodeCache } from './code-cache.ts';
import type { Directory, Route } from './invoker.ts';
import { type ServiceSecrets, StoredRunnable, type TenantState } from './stored-runnable.ts';

export type DirectoryStore = Pick<
  Store,
  | 'eachFunction'
  | 'getBytecode'
  | 'getCode'
  | 'getFunction'
  | 'getRevision'
  | 'getTenant'
  | 'getVersionedSecrets'
  | 'listFunctions'
  | 'listTenants'
  | 'onChange'
>;

export interface DirectoryOptions {
  readonly store: DirectoryStore;
  readonly clock: Clock;
  /** in force for a tenant: the platform's, the operator's, its own */
  readonly limitsOf: (tenant: Tenant) => Limits;
  /** Of Node, that sandboxes can run. */
  readonly nodeVersions: () => readonly string[];
  readonly serviceSecrets: ServiceSecrets;
  /** No route leads to this key any more (`Sandboxes.retire`). Called after the swap. */
  readonly onRetire: (key: string) => void;
  /** The tenant was made, changed, suspended or deleted (null). Called after the swap. */
  readonly onTenantChanged?: (id: TenantId, tenant: Tenant | null) => void;
  /** Reading a change failed; it is tried again until it succeeds. */
  readonly onError: (error: unknown) => void;
  /** of prepared code kept in memory */
  readonly cacheBytes?: number;
}

export interface MemoryDirectory extends Directory {
  /** Resolves when every change that the store has told of until now is in the table.
   *  @throws DeadlinePassed after 15 s: the store does not answer; the change is taken in when it does */
  settled(): Promise<void>;
  close(): void;
}

const CACHE_BYTES = 128 * 1024 * 1024;
const PAGE = 500;
const SETTLE_MS = 15_000;

/** Resolves when the table is whole. */
export async function createDirectory(options: DirectoryOptions): Promise<MemoryDirectory> {
  const table = new Table(options);
  await table.fill();
  return table;
}

type FunctionChange = Extract<StoreChange, { kind: 'tenant' | 'function' }>;

/** All that the table knows of one tenant. Replaced fields are read at each use. */
class TenantEntry implements TenantState {
  tenant: Tenant;
  limits: Limits;
  readonly nodeVersions: TenantState['nodeVersions'];
  readonly routes = new Map<string, EntryRoute>();

  constructor(tenant: Tenant, limits: Limits, nodeVersions: TenantState['nodeVersions']) {
    this.tenant = tenant;
    this.limits = limits;
    this.nodeVersions = nodeVersions;
  }

  get isolation(): Tenant['isolation'] {
    return this.tenant.isolation;
  }

  get egress(): EgressPolicy {
    return this.tenant.egress;
  }

  get isSuspended(): boolean {
    return this.tenant.state === 'suspended';
  }
}

/** What routing needs of a function, and no more: env and meta of all functions could be gigabytes. */
class EntryRoute implements Route {
  readonly access: Route['access'];
  readonly runnable: StoredRunnable;
  readonly #entry: TenantEntry;

  constructor(access: Route['access'], runnable: StoredRunnable, entry: TenantEntry) {
    this.access = access;
    this.runnable = runnable;
    this.#entry = entry;
  }

  get fn(): FunctionName {
    return this.runnable.fn;
  }

  get tenant(): Tenant {
    return this.#entry.tenant;
  }
}

class Table implements MemoryDirectory {
  readonly #options: DirectoryOptions;
  readonly #entries = new Map<string, TenantEntry>();
  readonly #cache: CodeCache;
  readonly #changes: ChangeQueue<FunctionChange>;
  readonly #unsubscribe: () => void;
  #isFilled: Promise<void> = Promise.resolve();

  constructor(options: DirectoryOptions) {
    this.#options = options;
    this.#cache = new CodeCache(options.cacheBytes ?? CACHE_BYTES);
    this.#changes = new ChangeQueue({
      clock: options.clock,
      keyOf: (change) => (change.kind === 'tenant' ? change.tenant : `${change.tenant}/${change.fn}`),
      apply: (change) => this.#apply(change),
      onError: options.onError,
    });
    this.#unsubscribe = options.store.onChange((change) => {
      if (change.kind === 'tenant' || change.kind === 'function') this.#changes.push(change);
    });
  }

  find(tenant: string, fn: string): Route | null {
    return this.#entries.get(tenant)?.routes.get(fn) ?? null;
  }

  tenant(id: TenantId): Tenant | null {
    return this.#entries.get(id)?.tenant ?? null;
  }

  settled(): Promise<void> {
    return withDeadline(this.#options.clock, SETTLE_MS, this.#changes.settled());
  }

  close(): void {
    this.#unsubscribe();
    this.#changes.close();
  }

  /** Changes that come in the meantime wait for it. */
  fill(): Promise<void> {
    this.#isFilled = this.#fill();
    return this.#isFilled;
  }

  async #fill(): Promise<void> {
    const { store } = this.#options;
    for (let after: TenantId | null = null; ;) {
      const page: readonly Tenant[] = await store.listTenants(
        after === null ? { limit: PAGE } : { limit: PAGE, after },
      );
      for (const tenant of page) this.#enter(tenant);
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) break;
      after = last.id;
    }
    for await (const fn of store.eachFunction()) {
      const entry = this.#entries.get(fn.tenant);
      if (entry !== undefined) this.#swap(entry, fn.name, fn);
    }
  }

  async #apply(change: FunctionChange): Promise<void> {
    await this.#isFilled;
    if (change.kind === 'tenant') await this.#applyTenant(change.tenant);
    else await this.#applyFunction(change.tenant, change.fn);
  }

  async #applyTenant(id: TenantId): Promise<void> {
    const { store, limitsOf, onTenantChanged } = this.#options;
    const tenant = await store.getTenant(id);
    const known = this.#entries.get(id);
    if (tenant !== null && known?.tenant.createdAt === tenant.createdAt) {
      known.limits = limitsOf(tenant);
      known.tenant = tenant;
    } else {
      if (known !== undefined) this.#drop(id, known);
      if (tenant !== null) await this.#fillTenant(this.#enter(tenant));
    }
    onTenantChanged?.(id, tenant);
  }

  async #applyFunction(id: TenantId, name: FunctionName): Promise<void> {
    const fn = await this.#options.store.getFunction(id, name);
    const entry = this.#entries.get(id);
    if (entry !== undefined) this.#swap(entry, name, fn);
    else if (fn !== null) await this.#applyTenant(id);
  }

  async #fillTenant(entry: TenantEntry): Promise<void> {
    const { store } = this.#options;
    for (let after: FunctionName | null = null; ;) {
      const page: readonly FunctionRecord[] = await store.listFunctions(
        entry.tenant.id,
        after === null ? { limit: PAGE } : { limit: PAGE, after },
      );
      for (const fn of page) this.#swap(entry, fn.name, fn);
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) return;
      after = last.name;
    }
  }

  #enter(tenant: Tenant): TenantEntry {
    const { limitsOf, nodeVersions } = this.#options;
    const entry = new TenantEntry(tenant, limitsOf(tenant), nodeVersions);
    this.#entries.set(tenant.id, entry);
    return entry;
  }

  #drop(id: TenantId, entry: TenantEntry): void {
    this.#entries.delete(id);
    for (const { runnable } of entry.routes.values()) this.#options.onRetire(runnable.key);
    entry.routes.clear();
  }

  #swap(entry: TenantEntry, name: FunctionName, fn: FunctionRecord | null): void {
    const old = entry.routes.get(name);
    const revision = fn?.activeRevision ?? null;
    if (fn === null || revision === null) entry.routes.delete(name);
    else {
      const { store, serviceSecrets } = this.#options;
      const parts = { tenantState: entry, store, serviceSecrets, cache: this.#cache };
      const fresh = new StoredRunnable({ fn, revision, ...parts });
      // Equal keys: a runnable that sandboxes know already goes on.
      const runnable = old?.runnable.key === fresh.key ? old.runnable : fresh;
      entry.routes.set(name, new EntryRoute(fn.access, runnable, entry));
      if (runnable === old?.runnable) return;
    }
    if (old !== undefined) this.#options.onRetire(old.runnable.key);
  }
}
