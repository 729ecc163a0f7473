import { queryObjects } from 'node:v8';
import { describe, expect, it } from 'vitest';
import type { FunctionName, RevisionId, TenantId } from '../contracts/ids.ts';
import { effectiveLimits, platformLimits } from '../contracts/limits.ts';
import type { FunctionRecord, Revision, Tenant } from '../contracts/model.ts';
import { decodeLoad } from '../kernel/frame-heads.ts';
import { FakeClock, settled } from '../kernel/testing/fake-clock.ts';
import { bytecodeTarget } from '../modules/bytecode-target.ts';
import type { StoreChange, VersionedSecrets } from '../store/store.ts';
import { createDirectory, type DirectoryStore } from './memory-directory.ts';

const acme = 'acme' as TenantId;
const hello = 'hello' as FunctionName;
const revisionOf = (digit: string): RevisionId => `r${digit.repeat(24)}` as RevisionId;

/** As much of a store as the directory reads. */
class StoreInMemory implements DirectoryStore {
  readonly tenants = new Map<string, Tenant>();
  readonly functions = new Map<string, FunctionRecord>();
  readonly codeReads: string[] = [];
  readonly bytecodeReads: string[] = [];
  codeBytes = 4;
  secrets: Record<string, string> = { KEY: 'value' };
  #listener: (change: StoreChange) => void = () => undefined;
  #clock = 1;

  putTenant(id: string, change: Partial<Tenant> = {}): void {
    const known = this.tenants.get(id);
    const fresh = {
      id: id as TenantId,
      name: id,
      state: 'active' as const,
      limits: {},
      egress: 'public' as const,
      isolation: 'standard' as const,
      tokensValidFrom: 0,
    };
    const at = (this.#clock += 1);
    this.tenants.set(id, { ...fresh, createdAt: at, updatedAt: at, ...known, ...change });
    this.#listener({ kind: 'tenant', tenant: id as TenantId });
  }

  putFunction(tenant: string, name: string, change: Partial<FunctionRecord>): void {
    const known = this.functions.get(`${tenant}/${name}`);
    const at = (this.#clock += 1);
    this.functions.set(`${tenant}/${name}`, {
      tenant: tenant as TenantId,
      name: name as FunctionName,
      access: 'public',
      activeRevision: null,
      nodeRange: null,
      env: {},
      meta: {},
      webtask: null,
      createdAt: at,
      updatedAt: at,
      ...known,
      ...change,
      version: (known?.version ?? 0) + 1,
    });
    this.tell({ kind: 'function', tenant: tenant as TenantId, fn: name as FunctionName });
  }

  tell(change: StoreChange): void {
    this.#listener(change);
  }

  onChange(listener: (change: StoreChange) => void): () => void {
    this.#listener = listener;
    return () => (this.#listener = () => undefined);
  }

  async getTenant(id: TenantId): Promise<Tenant | null> {
    return this.tenants.get(id) ?? null;
  }
  async listTenants(): Promise<readonly Tenant[]> {
    return [...this.tenants.values()];
  }
  async getFunction(tenant: TenantId, name: FunctionName): Promise<FunctionRecord | null> {
    return this.functions.get(`${tenant}/${name}`) ?? null;
  }
  async listFunctions(tenant: TenantId): Promise<readonly FunctionRecord[]> {
    return [...this.functions.values()].filter((fn) => fn.tenant === tenant);
  }
  async *eachFunction(): AsyncIterable<FunctionRecord> {
    yield* this.functions.values();
  }
  async getRevision(tenant: TenantId, fn: FunctionName, id: RevisionId): Promise<Revision | null> {
    return {
      id,
      tenant,
      fn,
      number: 1,
      form: 'context',
      isFormFixed: false,
      moduleKind: 'commonjs',
      language: 'javascript',
      evaluate: 'script',
      filename: 'hello.js',
      nodeRange: null,
      sourceBytes: 4,
      createdAt: 1,
    };
  }
  async getCode(_tenant: TenantId, _fn: FunctionName, id: RevisionId) {
    this.codeReads.push(id);
    return {
      code: Buffer.from(`code of ${id}`.padEnd(this.codeBytes)),
      sourceMap: null,
      source: Buffer.alloc(0),
    };
  }
  async getBytecode({ id }: Pick<Revision, 'id'>, target: string) {
    this.bytecodeReads.push(`${id} ${target}`);
    return Buffer.from('bytecode');
  }
  async getVersionedSecrets(tenant: TenantId, name: FunctionName): Promise<VersionedSecrets | null> {
    const fn = this.functions.get(`${tenant}/${name}`);
    return fn === undefined
      ? null
      : { version: fn.version, createdAt: fn.createdAt, secrets: { ...this.secrets } };
  }
}

async function make(store = new StoreInMemory()) {
  const retired: string[] = [];
  const changed: [string, string | null][] = [];
  const directory = await createDirectory({
    store,
    clock: new FakeClock(),
    limitsOf: (tenant) => effectiveLimits(tenant.limits),
    nodeVersions: () => ['24.0.0'],
    serviceSecrets: () => Promise.resolve({}),
    onRetire: (key) => retired.push(key),
    onTenantChanged: (id, tenant) => changed.push([id, tenant?.state ?? null]),
    onError: (error) => {
      throw error;
    },
  });
  return { store, directory, retired, changed };
}

async function withHello() {
  const store = new StoreInMemory();
  store.putTenant('acme');
  store.putFunction('acme', 'hello', { activeRevision: revisionOf('a') });
  return make(store);
}

describe('the directory', () => {
  it('knows at start what the store holds', async () => {
    const { directory } = await withHello();
    expect(directory.find('acme', 'hello')).toMatchObject({
      access: 'public',
      tenant: { id: acme },
      fn: hello,
    });
    expect(directory.find('acme', 'missing')).toBeNull();
    expect(directory.find('__proto__', 'hello')).toBeNull();
    expect(directory.tenant(acme)).toMatchObject({ id: acme });
  });

  it('has no route to a function without a revision', async () => {
    const { store, directory } = await withHello();
    store.putFunction('acme', 'empty', {});
    await directory.settled();
    expect(directory.find('acme', 'empty')).toBeNull();
  });

  it('swaps whole routes: who holds the old one keeps it, the next look-up finds the new one, the old key is retired', async () => {
    const { store, directory, retired } = await withHello();
    const old = directory.find('acme', 'hello')!;
    store.putFunction('acme', 'hello', { activeRevision: revisionOf('b'), access: 'token' });
    await directory.settled();
    const fresh = directory.find('acme', 'hello')!;
    expect([old.runnable.revision, old.access]).toEqual([revisionOf('a'), 'public']);
    expect([fresh.runnable.revision, fresh.access]).toEqual([revisionOf('b'), 'token']);
    expect(retired).toEqual([old.runnable.key]);
    expect(fresh.runnable.key).not.toBe(old.runnable.key);
  });

  it('replaces sandboxes when secrets change, not when nothing did', async () => {
    const { store, directory, retired } = await withHello();
    const old = directory.find('acme', 'hello')!.runnable;
    store.tell({ kind: 'function', tenant: acme, fn: hello });
    await directory.settled();
    expect(directory.find('acme', 'hello')!.runnable).toBe(old);
    expect(retired).toEqual([]);
    store.putFunction('acme', 'hello', {});
    await directory.settled();
    expect(retired).toEqual([old.key]);
  });

  it('forgets what is deleted', async () => {
    const { store, directory, retired, changed } = await withHello();
    const { key } = directory.find('acme', 'hello')!.runnable;
    store.functions.clear();
    store.tell({ kind: 'function', tenant: acme, fn: hello });
    await directory.settled();
    expect(directory.find('acme', 'hello')).toBeNull();
    expect(retired).toEqual([key]);
    store.tenants.clear();
    store.tell({ kind: 'tenant', tenant: acme });
    await directory.settled();
    expect(directory.tenant(acme)).toBeNull();
    expect(changed).toEqual([['acme', null]]);
  });

  it('does not take a function that was deleted and made anew for the old one', async () => {
    const { store, directory, retired } = await withHello();
    const { key } = directory.find('acme', 'hello')!.runnable;
    store.functions.clear();
    store.putFunction('acme', 'hello', { activeRevision: revisionOf('a') });
    await directory.settled();
    expect(directory.find('acme', 'hello')!.runnable.key).not.toBe(key);
    expect(retired).toEqual([key]);
  });

  it('a tenant made anew starts without the routes of the old one', async () => {
    const { store, directory, retired } = await withHello();
    const { key } = directory.find('acme', 'hello')!.runnable;
    store.functions.clear();
    store.tenants.clear();
    store.putTenant('acme');
    await directory.settled();
    expect(directory.tenant(acme)).not.toBeNull();
    expect(directory.find('acme', 'hello')).toBeNull();
    expect(retired).toEqual([key]);
  });

  it('changed limits and states take effect on routes that are held already', async () => {
    const { store, directory, changed, retired } = await withHello();
    const route = directory.find('acme', 'hello')!;
    const before = route.runnable.limits();
    expect(route.runnable.limits()).toBe(before);
    store.putTenant('acme', { limits: { wallMs: 1_234 }, state: 'suspended' });
    await directory.settled();
    expect(route.runnable.limits().wallMs).toBe(1_234);
    expect(route.tenant.state).toBe('suspended');
    expect(changed).toEqual([['acme', 'suspended']]);
    expect(retired).toEqual([]);
    await expect(route.runnable.load()).rejects.toMatchObject({ code: 'TENANT_SUSPENDED' });
  });

  it('loads code, secrets and limits, and reads the code once', async () => {
    const { store, directory } = await withHello();
    const { runnable } = directory.find('acme', 'hello')!;
    const { spec, code } = decodeLoad(await runnable.load());
    expect(code.toString()).toBe(`code of ${revisionOf('a')}`);
    expect(spec).toMatchObject({
      tenant: 'acme',
      fn: 'hello',
      form: 'context',
      filename: 'hello.js',
      secrets: { KEY: 'value' },
      webtask: null,
      limits: { wallMs: 30_000 },
    });
    store.secrets = { KEY: 'rotated' };
    expect(decodeLoad(await runnable.load()).spec.secrets).toEqual({ KEY: 'rotated' });
    expect(store.codeReads).toHaveLength(1);
  });

  it('loads bytecode of large code, for the Node that the sandbox runs', async () => {
    const { store, directory } = await withHello();
    const { runnable } = directory.find('acme', 'hello')!;
    expect(decodeLoad(await runnable.load()).bytecode).toBeNull();
    expect(store.bytecodeReads).toEqual([]);
    store.codeBytes = platformLimits.bytecodeFromBytes.value;
    store.putFunction('acme', 'hello', { activeRevision: revisionOf('b') });
    await settled();
    const large = directory.find('acme', 'hello')!.runnable;
    for (let loads = 0; loads < 2; loads++)
      expect(decodeLoad(await large.load()).bytecode?.toString()).toBe('bytecode');
    expect(store.bytecodeReads).toEqual([`${revisionOf('b')} ${bytecodeTarget('24.0.0')}`]);
  });

  it('keeps what routing needs in memory, and no settings', async () => {
    class Settings {
      readonly [name: string]: string;
      readonly A = 'x';
    }
    const { store, directory } = await withHello();
    store.putFunction('acme', 'large', {
      activeRevision: revisionOf('b'),
      env: new Settings(),
      meta: new Settings(),
    });
    await directory.settled();
    expect(directory.find('acme', 'large')?.access).toBe('public');
    store.functions.clear();
    await settled();
    expect(queryObjects(Settings, { format: 'count' })).toBe(0);
  });

  it('loads code and settings of one version, also when it has not heard of a deploy yet', async () => {
    const { store, directory } = await withHello();
    const { runnable } = directory.find('acme', 'hello')!;
    directory.close();
    store.secrets = { KEY: 'of b' };
    store.putFunction('acme', 'hello', { activeRevision: revisionOf('b'), env: { MODE: 'b' } });
    const { spec, code } = decodeLoad(await runnable.load());
    expect(code.toString()).toBe(`code of ${revisionOf('b')}`);
    expect(spec).toMatchObject({
      revision: revisionOf('b'),
      secrets: { KEY: 'of b' },
      env: { MODE: 'b' },
    });
  });

  it('does not load what changes faster than it can be read, nor what is deleted', async () => {
    const { store, directory } = await withHello();
    const { runnable } = directory.find('acme', 'hello')!;
    directory.close();
    const read = store.getFunction.bind(store);
    store.putFunction('acme', 'hello', {});
    store.getFunction = async (tenant, name) => {
      const fn = await read(tenant, name);
      store.putFunction('acme', 'hello', {});
      return fn;
    };
    await expect(runnable.load()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    store.functions.clear();
    await expect(runnable.load()).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('hears nothing any more once it is closed', async () => {
    const { store, directory } = await withHello();
    directory.close();
    store.putFunction('acme', 'late', { activeRevision: revisionOf('b') });
    await directory.settled();
    expect(directory.find('acme', 'late')).toBeNull();
  });
});
