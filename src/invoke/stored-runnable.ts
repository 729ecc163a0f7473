/** A function of the store as sandboxes run it: its limits, and the Load frame that makes a blank sandbox into it. */
import { BerthError } from '../contracts/errors.ts';
import type { EgressPolicy } from '../contracts/egress.ts';
import type { LoadSpec, WebtaskSpec } from '../contracts/frames.ts';
import type { FunctionName, RevisionId, TenantId } from '../contracts/ids.ts';
import type { IsolationTier } from '../contracts/isolations.ts';
import type { Limits } from '../contracts/limits.ts';
import type { FunctionRecord } from '../contracts/model.ts';
import type { SandboxKind } from '../drivers/driver.ts';
import { encodeLoad } from '../kernel/frame-heads.ts';
import { bytecodeTargetFor, gainsByBytecode } from '../modules/bytecode-target.ts';
import { nodeMajorFor } from '../modules/node-range.ts';
import type { Runnable } from '../sandboxes/sandboxes.ts';
import type { FunctionStore, VersionedSecrets } from '../store/store.ts';
import type { CachedRevision, CodeCache } from './code-cache.ts';

export type RunnableStore = Pick<
  FunctionStore,
  'getBytecode' | 'getCode' | 'getFunction' | 'getRevision' | 'getVersionedSecrets'
>;

/** What changes with the tenant, shared by all its runnables. */
export interface TenantState {
  readonly limits: Limits;
  readonly egress: EgressPolicy;
  readonly isSuspended: boolean;
  readonly isolation: IsolationTier;
  /** that sandboxes can run, of now */
  nodeVersions(): readonly string[];
}

export interface StoredRunnableParts {
  readonly fn: FunctionRecord;
  readonly revision: RevisionId;
  readonly tenantState: TenantState;
  readonly store: RunnableStore;
  /** What the tenant's functions find in their secrets besides their own: how to reach its services. */
  readonly serviceSecrets: ServiceSecrets;
  readonly cache: CodeCache;
}

export type ServiceSecrets = (tenant: TenantId) => Promise<Readonly<Record<string, string>>>;

/** webtask's URL format of `/run/{tenant}/{function}` and `/api/run/…`: shared host (webtask contract, 1.1) */
const SHARED_HOST = 1;
/** A function that changes between each two of these reads is left to the next request. */
const MAX_READS = 5;

export class StoredRunnable implements Runnable {
  readonly key: string;
  readonly tenant: TenantId;
  readonly fn: FunctionName;
  readonly revision: RevisionId;
  readonly nodeRange: string | null;
  readonly #state: TenantState;
  readonly #store: RunnableStore;
  readonly #serviceSecrets: ServiceSecrets;
  readonly #cache: CodeCache;

  constructor({ fn, revision, tenantState, store, serviceSecrets, cache }: StoredRunnableParts) {
    this.key = keyOf(fn, revision);
    this.tenant = fn.tenant;
    this.fn = fn.name;
    this.revision = revision;
    this.nodeRange = fn.nodeRange;
    this.#state = tenantState;
    this.#store = store;
    this.#serviceSecrets = serviceSecrets;
    this.#cache = cache;
  }

  limits(): Limits {
    return this.#state.limits;
  }

  egress(): EgressPolicy {
    return this.#state.egress;
  }

  kind(): SandboxKind {
    const { isolation, nodeVersions } = this.#state;
    return { isolation, nodeMajor: nodeMajorFor(this.nodeRange, nodeVersions()) };
  }

  /**
   * What the store holds now, when the directory has not yet heard of a change: code and settings of one version, never mixed.
   * @throws BerthError TENANT_SUSPENDED; NOT_FOUND when it was deleted in the meantime; what the store throws
   */
  async load(): Promise<Buffer> {
    if (this.#state.isSuspended) throw new BerthError('TENANT_SUSPENDED');
    const { record, secrets } = await this.#settings();
    const services = await this.#serviceSecrets(this.tenant);
    const { env, meta, activeRevision } = record;
    if (activeRevision === null) throw new BerthError('NOT_FOUND', { what: `function "${this.fn}"` });
    const { revision, code, bytecode } = await this.#revision(activeRevision);
    const { form, moduleKind, evaluate, filename } = revision;
    const spec: Omit<LoadSpec, 'parts'> = {
      tenant: this.tenant,
      fn: this.fn,
      revision: activeRevision,
      form,
      moduleKind,
      evaluate,
      filename,
      // What somebody has set by hand is meant.
      secrets: { ...services, ...secrets },
      env,
      meta,
      webtask: webtaskSpec(record),
      limits: loadLimits(this.limits()),
    };
    return encodeLoad(spec, { code: code.code, sourceMap: code.sourceMap, bytecode });
  }

  /** A record and the secrets of its version. Read anew: what all functions have in settings is too much to be kept in memory. */
  async #settings(): Promise<{ record: FunctionRecord; secrets: VersionedSecrets['secrets'] }> {
    for (let reads = 0; reads < MAX_READS; reads++) {
      const record = await this.#store.getFunction(this.tenant, this.fn);
      const found = await this.#store.getVersionedSecrets(this.tenant, this.fn);
      if (found === null || record === null) {
        throw new BerthError('NOT_FOUND', { what: `function "${this.fn}"` });
      }
      const isSame = found.version === record.version && found.createdAt === record.createdAt;
      if (isSame) return { record, secrets: found.secrets };
    }
    throw new BerthError('STORE_UNAVAILABLE');
  }

  async #revision(id: RevisionId): Promise<CachedRevision> {
    const target = bytecodeTargetFor(this.nodeRange, this.#state.nodeVersions());
    const cacheKey = `${this.tenant}/${this.fn}/${id}/${target}`;
    const cached = this.#cache.get(cacheKey);
    if (cached !== null) return cached;
    const [revision, prepared] = await Promise.all([
      this.#store.getRevision(this.tenant, this.fn, id),
      this.#store.getCode(this.tenant, this.fn, id),
    ]);
    if (revision === null || prepared === null) {
      throw new BerthError('NOT_FOUND', { what: `revision "${id}"` });
    }
    const { code, sourceMap } = prepared;
    const hasBytecode = target !== null && gainsByBytecode(code, revision.evaluate);
    const bytecode = hasBytecode ? await this.#store.getBytecode(revision, target) : null;
    const entry = { revision, code: { code, sourceMap }, bytecode };
    this.#cache.set(cacheKey, entry);
    return entry;
  }
}

/** With the time of creation: a function that is deleted and made anew starts to count its versions anew. */
function keyOf(fn: FunctionRecord, revision: RevisionId): string {
  return `${fn.tenant}/${fn.name}/${revision}/${fn.version}.${fn.createdAt.toString(36)}`;
}

function webtaskSpec({ tenant, name, webtask }: FunctionRecord): WebtaskSpec | null {
  if (webtask === null) return null;
  const { parseBody, mergeBody, params, token, jti } = webtask;
  return { container: tenant, name, urlFormat: SHARED_HOST, parseBody, mergeBody, params, token, jti };
}

function loadLimits(limits: Limits): LoadSpec['limits'] {
  const { wallMs, logLineBytes, logBytesPerSecond, responseHeaderBytes, memoryBytes } = limits;
  return { wallMs, logLineBytes, logBytesPerSecond, responseHeaderBytes, memoryBytes };
}
