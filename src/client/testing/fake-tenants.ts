/** Tenants, functions, secrets, keys and logs for a `FakePlatform`. */
import { BerthError } from '../../contracts/errors.ts';
import type { FakePlatform } from './fake-platform.ts';

type Record_ = Record<string, unknown>;
const times = { createdAt: 1_700_000_000_000, updatedAt: 1_700_000_000_000 };

export interface FakeFunction {
  access: string;
  env: Record_;
  meta: Record_;
  secrets: Record_;
  revisions: { id: string; source: string; body: Record_ }[];
  active: string;
}

/** What the fake holds; tests look into it. */
export class FakeTenants {
  readonly tenants = new Map<string, { record: Record_; functions: Map<string, FakeFunction> }>();
  readonly #url: () => string;

  constructor(platform: FakePlatform) {
    this.#url = () => platform.url;
    this.#tenantRoutes(platform);
    this.#functionRoutes(platform);
    this.#revisionRoutes(platform);
    this.#secretRoutes(platform);
  }

  tenant(id: string) {
    const found = this.tenants.get(id);
    if (found === undefined) throw new BerthError('NOT_FOUND', { what: `tenant ${id}` });
    return found;
  }

  function(tenant: string, name: string): FakeFunction {
    const found = this.tenant(tenant).functions.get(name);
    if (found === undefined) throw new BerthError('NOT_FOUND', { what: `function ${name}` });
    return found;
  }

  add(id: string): void {
    const record = {
      id,
      name: id,
      state: 'active',
      limits: {},
      egress: 'public',
      effectiveLimits: { wallMs: 30_000 },
      ...times,
    };
    this.tenants.set(id, { record, functions: new Map() });
  }

  #tenantRoutes(platform: FakePlatform): void {
    platform
      .on('POST', '/v1/tenants', ({ body }) => {
        const id = String(body['id']);
        if (this.tenants.has(id)) throw new BerthError('CONFLICT', { what: `The tenant ${id}` });
        this.add(id);
        Object.assign(this.tenant(id).record, body);
        return this.tenant(id).record;
      })
      .on('GET', '/v1/tenants', ({ query }) => {
        const all = [...this.tenants.values()].map(({ record }) => record);
        const from = all.findIndex(({ id }) => id === query['after']) + 1;
        const items = all.slice(from, from + Number(query['limit']));
        const last = items.at(-1);
        return { items, next: from + items.length < all.length ? (last?.['id'] ?? null) : null };
      })
      .on('GET', '/v1/tenants/:t', (_request, _response, [id]) => this.tenant(id!).record)
      .on('PATCH', '/v1/tenants/:t', ({ body }, _response, [id]) =>
        Object.assign(this.tenant(id!).record, body),
      )
      .on('GET', '/v1/tenants/:t/usage', ({ query }, _response, [id]) => {
        this.tenant(id!);
        return { items: [{ day: '2026-01-31', name: 'egressBytesIn', amount: Number(query['days']) }] };
      })
      .on('DELETE', '/v1/tenants/:t', (_request, _response, [id]) => {
        this.tenant(id!);
        this.tenants.delete(id!);
      });
  }

  #functionRoutes(platform: FakePlatform): void {
    const path = '/v1/tenants/:t/functions';
    platform
      .on('GET', path, (_request, _response, [tenant]) => ({
        items: [...this.tenant(tenant!).functions.keys()].map((name) => this.view(tenant!, name)),
        next: null,
      }))
      .on('PUT', `${path}/:f`, ({ body }, _response, [tenant, name]) => this.#deploy(tenant!, name!, body))
      .on('GET', `${path}/:f`, (_request, _response, [tenant, name]) => this.view(tenant!, name!))
      .on('PATCH', `${path}/:f`, ({ body }, _response, [tenant, name]) => {
        Object.assign(this.function(tenant!, name!), body);
        return this.view(tenant!, name!);
      })
      .on('DELETE', `${path}/:f`, (_request, _response, [tenant, name]) => {
        this.function(tenant!, name!);
        this.tenant(tenant!).functions.delete(name!);
      });
  }

  #revisionRoutes(platform: FakePlatform): void {
    const path = '/v1/tenants/:t/functions/:f';
    platform
      .on('GET', `${path}/revisions`, (_request, _response, [tenant, name]) => ({
        items: this.function(tenant!, name!)
          .revisions.map((_, index) => this.revision(tenant!, name!, index))
          .toReversed(),
      }))
      .on('GET', `${path}/revisions/:r/source`, (_request, _response, [tenant, name, id]) => {
        const found = this.function(tenant!, name!).revisions.find((revision) => revision.id === id);
        if (found === undefined) throw new BerthError('NOT_FOUND', { what: `revision ${id!}` });
        return found.source;
      })
      .on('GET', `${path}/revisions/:r`, (_request, _response, [tenant, name, id]) => {
        const index = this.function(tenant!, name!).revisions.findIndex((revision) => revision.id === id);
        if (index === -1) throw new BerthError('NOT_FOUND', { what: `revision ${id!}` });
        return this.revision(tenant!, name!, index);
      })
      .on('POST', `${path}/revisions/:r/activate`, (_request, _response, [tenant, name, id]) => {
        this.function(tenant!, name!).active = id!;
        return this.view(tenant!, name!);
      })
      .on('POST', `${path}/rollback`, (_request, _response, [tenant, name]) => {
        const fn = this.function(tenant!, name!);
        const index = fn.revisions.findIndex(({ id }) => id === fn.active);
        if (index < 1) throw new BerthError('NOT_FOUND', { what: 'revision before the active one' });
        fn.active = fn.revisions[index - 1]!.id;
        return this.view(tenant!, name!);
      });
  }

  #secretRoutes(platform: FakePlatform): void {
    const path = '/v1/tenants/:t/functions/:f/secrets';
    platform
      .on('GET', path, (_request, _response, [tenant, name]) => ({
        items: Object.keys(this.function(tenant!, name!).secrets),
      }))
      .on('PUT', `${path}/:s`, ({ body }, _response, [tenant, name, secret]) => {
        this.function(tenant!, name!).secrets[secret!] = body['value'];
      })
      .on('DELETE', `${path}/:s`, (_request, _response, [tenant, name, secret]) => {
        delete this.function(tenant!, name!).secrets[secret!];
      });
  }

  #deploy(tenant: string, name: string, body: Record_): unknown {
    const { functions } = this.tenant(tenant);
    const source = body['source'] ?? Buffer.from(String(body['sourceBase64']), 'base64').toString();
    const fn = functions.get(name) ?? {
      access: 'public',
      env: {},
      meta: {},
      secrets: {},
      revisions: [],
      active: '',
    };
    for (const key of ['access', 'env', 'meta', 'secrets'] as const)
      if (body[key] !== undefined) Object.assign(fn, { [key]: body[key] });
    const id = `r${String(fn.revisions.length + 1).padStart(24, '0')}`;
    fn.revisions.push({ id, source: String(source), body });
    fn.active = id;
    functions.set(name, fn);
    const revision = this.revision(tenant, name, fn.revisions.length - 1);
    const view = this.view(tenant, name);
    return { function: view, revision, url: view['url'], form: revision['form'], warnings: [] };
  }

  view(tenant: string, name: string): Record_ {
    const { access, env, meta, active } = this.function(tenant, name);
    const url = `${this.#url()}/run/${tenant}/${name}`;
    return { tenant, name, url, access, activeRevision: active, env, meta, version: 1, ...times };
  }

  revision(tenant: string, name: string, index: number): Record_ {
    const fn = this.function(tenant, name);
    const { id, source, body } = fn.revisions[index]!;
    const filename = String(body['entry'] ?? body['filename'] ?? 'index.js');
    return {
      id,
      number: index + 1,
      form: body['form'] ?? 'fetch',
      isFormFixed: body['form'] !== undefined,
      moduleKind: body['moduleKind'] ?? 'esm',
      language: filename.endsWith('.ts') ? 'typescript' : 'javascript',
      filename,
      sourceBytes: Buffer.byteLength(source),
      isActive: id === fn.active,
      ...times,
    };
  }
}
