/** Control and directory in memory, as far as the webtask face uses them. Code "compiles" unless it says `syntax error`. */
import { createHash } from 'node:crypto';
import { BerthError } from '../../contracts/errors.ts';
import { type FunctionName, type RevisionId, revisionIdSchema, type TenantId } from '../../contracts/ids.ts';
import { defaultLimits, effectiveLimits } from '../../contracts/limits.ts';
import type { FunctionRecord, Tenant } from '../../contracts/model.ts';
import type { Control, DeployRequest } from '../../control/control.ts';
import type { Directory, Route } from '../../invoke/invoker.ts';
import type { FunctionSettings } from '../../store/store.ts';
import { ownKind } from '../../drivers/facts.ts';

interface Kept {
  record: FunctionRecord;
  secrets: Readonly<Record<string, string>>;
  readonly sources: Map<RevisionId, Uint8Array>;
}

type Used = Pick<
  Control,
  | 'createTenant'
  | 'getTenant'
  | 'limitsOf'
  | 'deploy'
  | 'getFunction'
  | 'listFunctions'
  | 'updateFunction'
  | 'deleteFunction'
  | 'getSource'
  | 'getSecrets'
>;

export class MemoryControl implements Used, Directory {
  readonly tenants = new Map<string, Tenant>();
  readonly functions = new Map<string, Kept>();

  /** What the face is given; a call that is not made here throws. */
  asControl(): Control {
    return this as unknown as Control;
  }

  async createTenant({ id }: { readonly id: TenantId }): Promise<Tenant> {
    if (this.tenants.has(id)) throw new BerthError('CONFLICT', { what: id });
    const tenant: Tenant = {
      id,
      name: id,
      state: 'active',
      limits: {},
      egress: 'public',
      isolation: 'standard',
      tokensValidFrom: 0,
      createdAt: 0,
      updatedAt: 0,
    };
    this.tenants.set(id, tenant);
    return tenant;
  }

  async getTenant(id: TenantId): Promise<Tenant> {
    const tenant = this.tenants.get(id);
    if (tenant === undefined) throw new BerthError('NOT_FOUND', { what: `tenant "${id}"` });
    return tenant;
  }

  limitsOf(tenant: Tenant): ReturnType<Control['limitsOf']> {
    return effectiveLimits(tenant.limits);
  }

  async deploy(request: DeployRequest): Promise<Awaited<ReturnType<Control['deploy']>>> {
    const text = Buffer.from(request.source).toString();
    if (text.includes('syntax error') && request.filename !== 'index.ts')
      throw new BerthError('CODE_INVALID', { reason: 'syntax error', file: 'index.js', line: 1, column: 1 });
    const { tenant, fn } = request;
    const { limits } = await this.getTenant(tenant);
    const own = [...this.functions.keys()].filter((key) => key.startsWith(`${tenant}/`));
    const limit = effectiveLimits(limits).functions;
    if (!this.functions.has(`${tenant}/${fn}`) && own.length >= limit)
      throw new BerthError('LIMIT_REACHED', { name: 'functions', limit });
    const id = revisionIdSchema.parse(
      `r${createHash('sha256').update(request.source).digest('hex').slice(0, 24)}`,
    );
    const kept = this.functions.get(`${tenant}/${fn}`) ?? {
      record: newRecord(tenant, fn),
      secrets: {},
      sources: new Map(),
    };
    kept.sources.set(id, request.source);
    kept.record = { ...kept.record, activeRevision: id };
    this.functions.set(`${tenant}/${fn}`, kept);
    return { fn: apply(kept, request.settings), revision: { id } as never };
  }

  async getFunction(tenant: TenantId, name: FunctionName): Promise<FunctionRecord> {
    return this.#kept(tenant, name).record;
  }

  async listFunctions(
    tenant: TenantId,
    page: { readonly limit: number; readonly after?: string },
  ): Promise<FunctionRecord[]> {
    await this.getTenant(tenant);
    return [...this.functions.values()]
      .map(({ record }) => record)
      .filter((fn) => fn.tenant === tenant && fn.name > (page.after ?? ''))
      .sort((one, other) => (one.name < other.name ? -1 : 1))
      .slice(0, page.limit);
  }

  async updateFunction(
    tenant: TenantId,
    name: FunctionName,
    settings: FunctionSettings,
  ): Promise<FunctionRecord> {
    return apply(this.#kept(tenant, name), settings);
  }

  async deleteFunction(tenant: TenantId, name: FunctionName): Promise<void> {
    this.#kept(tenant, name);
    this.functions.delete(`${tenant}/${name}`);
  }

  async getSource(tenant: TenantId, name: FunctionName, id: RevisionId): Promise<Uint8Array> {
    return this.#kept(tenant, name).sources.get(id)!;
  }

  async getSecrets(tenant: TenantId, name: FunctionName): Promise<Readonly<Record<string, string>>> {
    return this.#kept(tenant, name).secrets;
  }

  tenant(id: TenantId): Tenant | null {
    return this.tenants.get(id) ?? null;
  }

  find(tenant: string, fn: string): Route | null {
    const record = this.functions.get(`${tenant}/${fn}`)?.record;
    if (record === undefined || record.activeRevision === null) return null;
    const runnable = {
      key: `${tenant}/${fn}/${record.activeRevision}`,
      tenant: record.tenant,
      fn: record.name,
      revision: record.activeRevision,
      limits: () => defaultLimits,
      egress: () => 'public' as const,
      kind: () => ownKind,
      load: () => Promise.reject(new Error('nothing is loaded in this test')),
    };
    return { tenant: this.tenants.get(tenant)!, fn: record.name, access: record.access, runnable };
  }

  #kept(tenant: TenantId, name: FunctionName): Kept {
    const kept = this.functions.get(`${tenant}/${name}`);
    if (kept === undefined) throw new BerthError('NOT_FOUND', { what: `function "${name}"` });
    return kept;
  }
}

function newRecord(tenant: TenantId, name: FunctionName): FunctionRecord {
  const defaults = {
    access: 'public',
    activeRevision: null,
    nodeRange: null,
    env: {},
    meta: {},
    webtask: null,
  } as const;
  return { tenant, name, ...defaults, version: 1, createdAt: 0, updatedAt: 0 };
}

function apply(kept: Kept, { secrets, ...settings }: FunctionSettings): FunctionRecord {
  if (secrets !== undefined) kept.secrets = secrets;
  kept.record = { ...kept.record, ...settings, version: kept.record.version + 1 };
  return kept.record;
}
