/** Programs that come as the body of a request and are not kept: prepared once, run, forgotten when others need the room. */
import { createHash } from 'node:crypto';
import { BerthError } from '../contracts/errors.ts';
import type { LoadSpec } from '../contracts/frames.ts';
import { type RevisionId, revisionIdSchema, type TenantId } from '../contracts/ids.ts';
import type { Limits } from '../contracts/limits.ts';
import type { Tenant } from '../contracts/model.ts';
import { ownKind } from '../drivers/facts.ts';
import { encodeLoad } from '../kernel/frame-heads.ts';
import type { Prepared, Preparer } from '../modules/preparer.ts';
import type { Runnable } from '../sandboxes/sandboxes.ts';
import { hiddenName } from './names.ts';
import { webtaskLimits } from './webtask-limits.ts';

/** Each tenant keeps at most this many, so that one cannot push out the others'. */
const MAX_PROGRAMS_PER_TENANT = webtaskLimits.webtaskProgramsPerTenant.value;
const MAX_PROGRAMS = webtaskLimits.webtaskPrograms.value;
const MAX_BYTES = webtaskLimits.webtaskProgramsBytes.value;
const PARSE_BY_ARITY = 2;
const NAME = hiddenName('body');

export interface EphemeralParts {
  readonly preparer: Pick<Preparer, 'prepare'>;
  readonly tenantOf: (tenant: TenantId) => Tenant | null;
  readonly limitsOf: (tenant: Tenant) => Limits;
  readonly retire: (key: string) => void;
}

interface Program {
  readonly runnable: Runnable;
  readonly bytes: number;
}

export class EphemeralPrograms {
  readonly #parts: EphemeralParts;
  /** by key, the least recently used first */
  readonly #programs = new Map<string, Program>();
  #bytes = 0;

  constructor(parts: EphemeralParts) {
    this.#parts = parts;
  }

  /** The same program of the same tenant gives the same runnable. @throws BerthError CODE_INVALID, FORM_UNKNOWN, and as `#active` */
  async take(tenant: TenantId, source: Uint8Array): Promise<Runnable> {
    this.#active(tenant);
    const hash = createHash('sha256').update(source).digest('hex');
    const key = `webtask-body/${tenant}/${hash}`;
    const known = this.#programs.get(key);
    if (known !== undefined) return this.#keep(known);
    const prepared = await this.#parts.preparer.prepare({ owner: tenant, source, filename: 'index.js' });
    const revision = revisionIdSchema.parse(`r${hash.slice(0, 24)}`);
    return this.#keep({
      runnable: this.#runnableOf({ key, tenant, revision, prepared }),
      bytes: bytesOf(prepared),
    });
  }

  #keep(program: Program): Runnable {
    const { runnable } = program;
    this.#forget(runnable.key);
    this.#programs.set(runnable.key, program);
    this.#bytes += program.bytes;
    const own = [...this.#programs.values()].filter((one) => one.runnable.tenant === runnable.tenant);
    if (own.length > MAX_PROGRAMS_PER_TENANT) this.#drop(own[0]!.runnable.key);
    for (const key of this.#programs.keys()) {
      if (key === runnable.key || (this.#programs.size <= MAX_PROGRAMS && this.#bytes <= MAX_BYTES)) break;
      this.#drop(key);
    }
    return runnable;
  }

  #drop(key: string): void {
    this.#forget(key);
    this.#parts.retire(key);
  }

  #forget(key: string): void {
    this.#bytes -= this.#programs.get(key)?.bytes ?? 0;
    this.#programs.delete(key);
  }

  /** @throws BerthError TENANT_SUSPENDED; NOT_FOUND when it was deleted in the meantime */
  #active(id: TenantId): Tenant {
    const tenant = this.#parts.tenantOf(id);
    if (tenant === null) throw new BerthError('NOT_FOUND', { what: `container ${id}` });
    if (tenant.state !== 'active') throw new BerthError('TENANT_SUSPENDED');
    return tenant;
  }

  #runnableOf(program: {
    readonly key: string;
    readonly tenant: TenantId;
    readonly revision: RevisionId;
    readonly prepared: Prepared;
  }): Runnable {
    const { key, tenant, revision, prepared } = program;
    let { isolation } = this.#active(tenant);
    let known = this.#parts.limitsOf(this.#active(tenant));
    // Of a tenant that is gone, the last ones hold until its invocations have ended.
    const limits = (): Limits => {
      const present = this.#parts.tenantOf(tenant);
      if (present !== null) known = this.#parts.limitsOf(present);
      return known;
    };
    const { code, sourceMap } = prepared.prepared;
    return {
      key,
      tenant,
      fn: NAME,
      revision,
      limits,
      egress: () => this.#parts.tenantOf(tenant)?.egress ?? 'none',
      kind: () => {
        isolation = this.#parts.tenantOf(tenant)?.isolation ?? isolation;
        return { ...ownKind, isolation };
      },
      load: async () => {
        this.#active(tenant);
        const spec = loadSpec({ tenant, revision, prepared, limits: limits() });
        return encodeLoad(spec, { code, sourceMap, bytecode: null });
      },
    };
  }
}

function loadSpec(parts: {
  readonly tenant: TenantId;
  readonly revision: RevisionId;
  readonly prepared: Prepared;
  readonly limits: Limits;
}): Omit<LoadSpec, 'parts'> {
  const { tenant, revision, prepared, limits } = parts;
  return {
    tenant,
    fn: NAME,
    revision,
    form: prepared.form,
    moduleKind: prepared.moduleKind,
    evaluate: prepared.evaluate,
    filename: prepared.filename,
    secrets: {},
    env: {},
    meta: {},
    webtask: {
      container: tenant,
      name: NAME,
      urlFormat: 1,
      parseBody: PARSE_BY_ARITY,
      mergeBody: false,
      params: {},
      token: null,
      jti: null,
    },
    limits: {
      wallMs: limits.wallMs,
      logLineBytes: limits.logLineBytes,
      logBytesPerSecond: limits.logBytesPerSecond,
      responseHeaderBytes: limits.responseHeaderBytes,
      memoryBytes: limits.memoryBytes,
    },
  };
}

function bytesOf({ prepared: { code, sourceMap, source } }: Prepared): number {
  return code.byteLength + (sourceMap?.byteLength ?? 0) + source.byteLength;
}
