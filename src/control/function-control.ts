/** Functions, their revisions and their secrets. */
import { BerthError } from '../contracts/errors.ts';
import type { FunctionName, RevisionId, TenantId } from '../contracts/ids.ts';
import type { Limits } from '../contracts/limits.ts';
import { effectiveLimits } from '../contracts/limits.ts';
import type { Bytecode, FunctionRecord, Revision } from '../contracts/model.ts';
import { bytecodeTargetFor, gainsByBytecode, ownTarget } from '../modules/bytecode-target.ts';
import { isNodeRange, nodeVersionFor } from '../modules/node-range.ts';
import type { DeploySource, Prepared } from '../modules/preparer.ts';
import type { Control, Deployed, DeployRequest } from './control.ts';
import { type ControlDeps, what } from './control-deps.ts';
import { revisionIdOf } from './revision-id.ts';
import { checkSettings } from './settings-rules.ts';
import { tenantOf } from './tenant-control.ts';

type FunctionControl = Pick<
  Control,
  | 'deploy'
  | 'getFunction'
  | 'listFunctions'
  | 'updateFunction'
  | 'deleteFunction'
  | 'listRevisions'
  | 'getRevision'
  | 'getSource'
  | 'activate'
  | 'rollback'
>;

export function createFunctionControl(deps: ControlDeps): FunctionControl {
  const { store } = deps;
  return {
    deploy: (request) => deploy(deps, request),
    getFunction: (tenant, name) => functionOf(deps, tenant, name),
    async listFunctions(tenant, page) {
      await tenantOf(deps, tenant);
      return store.listFunctions(tenant, page);
    },
    async updateFunction(tenant, name, settings) {
      checkSettings(settings, await limitsOf(deps, tenant));
      return settled(deps, await store.updateFunction(tenant, name, settings));
    },
    async deleteFunction(tenant, name) {
      if (!(await store.deleteFunction(tenant, name))) throw noFunction(name);
      await deps.directorySettled();
    },
    async listRevisions(tenant, name) {
      await functionOf(deps, tenant, name);
      return store.listRevisions(tenant, name);
    },
    getRevision: (tenant, name, id) => revisionOf(deps, { tenant, name, id }),
    async getSource(tenant, name, id) {
      const code = await store.getCode(tenant, name, id);
      if (code === null) throw noRevision(id);
      return code.source;
    },
    activate: async (tenant, name, id) => settled(deps, await store.activate(tenant, name, id)),
    rollback: (tenant, name) => rollback(deps, tenant, name),
  };
}

/** @throws BerthError NOT_FOUND */
export async function functionOf(
  { store }: Pick<ControlDeps, 'store'>,
  tenant: TenantId,
  name: FunctionName,
): Promise<FunctionRecord> {
  const fn = await store.getFunction(tenant, name);
  if (fn === null) throw noFunction(name);
  return fn;
}

/** The limits in force. @throws BerthError NOT_FOUND */
export async function limitsOf(deps: ControlDeps, tenant: TenantId): Promise<Limits> {
  return effectiveLimits(deps.limits, (await tenantOf(deps, tenant)).limits);
}

/** A change is acknowledged only when the next request gets it. */
export async function settled<T>(deps: ControlDeps, result: T): Promise<T> {
  await deps.directorySettled();
  return result;
}

async function deploy(deps: ControlDeps, request: DeployRequest): Promise<Deployed> {
  const limits = await limitsOf(deps, request.tenant);
  for (const part of [request.source, request.sourceMap]) checkCodeSize(part, limits);
  checkSettings(request.settings, limits);
  const nodeRange = nodeRangeOf(deps, request);
  const { prepared, ...shape } = await prepare(deps, request);
  const revision = {
    ...shape,
    id: revisionIdOf({ prepared, ...shape }, nodeRange),
    nodeRange,
    tenant: request.tenant,
    fn: request.fn,
    sourceBytes: prepared.source.byteLength,
  };
  const bytecode = await bytecodeFor(deps, { prepared, ...shape }, revision);
  const deployed = await deps.store.deploy({
    revision,
    prepared,
    bytecode,
    settings: request.settings,
    keepRevisions: limits.revisions,
    maxFunctions: limits.functions,
  });
  return settled(deps, deployed);
}

/** null where there is nothing to gain, where it cannot be made here, and where the revision has it. */
async function bytecodeFor(
  { preparer, sandboxes, store }: ControlDeps,
  prepared: Prepared,
  revision: Pick<Revision, 'tenant' | 'fn' | 'id' | 'nodeRange'>,
): Promise<Bytecode | null> {
  if (!gainsByBytecode(prepared.prepared.code, prepared.evaluate)) return null;
  const target = bytecodeTargetFor(revision.nodeRange, sandboxes.facts().nodeVersions);
  if (target !== ownTarget || (await store.getBytecode(revision, target)) !== null) return null;
  return preparer.makeBytecode(revision.tenant, prepared);
}

/** @throws BerthError BAD_REQUEST, NODE_UNAVAILABLE */
function nodeRangeOf({ sandboxes }: ControlDeps, { nodeRange }: DeployRequest): string | null {
  if (nodeRange === undefined) return null;
  if (!isNodeRange(nodeRange)) {
    const reason = `"${nodeRange.slice(0, 100)}" is no range of versions, as engines.node of package.json has it`;
    throw new BerthError('BAD_REQUEST', { reason });
  }
  const { nodeVersions } = sandboxes.facts();
  if (nodeVersionFor(nodeRange, nodeVersions) !== null) return nodeRange;
  throw new BerthError('NODE_UNAVAILABLE', { range: nodeRange, versions: nodeVersions.join(', ') });
}

function checkCodeSize(part: Uint8Array | undefined, limits: Limits): void {
  if (part !== undefined && part.byteLength > limits.codeBytes) {
    throw new BerthError('CODE_TOO_LARGE', { size: part.byteLength, limit: limits.codeBytes });
  }
}

/** Code without a file name, as from standard input, is JavaScript; what is no JavaScript may be TypeScript. */
async function prepare({ preparer }: ControlDeps, request: DeployRequest): Promise<Prepared> {
  try {
    return await preparer.prepare(sourceOf(request, request.filename ?? 'index.js'));
  } catch (error) {
    const isMaybeTypeScript = error instanceof BerthError && error.code === 'CODE_INVALID';
    if (request.filename !== undefined || !isMaybeTypeScript) throw error;
    return preparer.prepare(sourceOf(request, 'index.ts')).catch(() => {
      throw error;
    });
  }
}

function sourceOf(request: DeployRequest, filename: string): DeploySource {
  const { tenant, source, entry, moduleKind, form, sourceMap } = request;
  return {
    owner: tenant,
    source,
    filename,
    ...(entry === undefined ? {} : { entry }),
    ...(moduleKind === undefined ? {} : { moduleKind }),
    ...(form === undefined ? {} : { form }),
    ...(sourceMap === undefined ? {} : { sourceMap }),
  };
}

async function revisionOf(
  { store }: ControlDeps,
  { tenant, name, id }: { readonly tenant: TenantId; readonly name: FunctionName; readonly id: RevisionId },
): Promise<Revision> {
  const revision = await store.getRevision(tenant, name, id);
  if (revision === null) throw noRevision(id);
  return revision;
}

async function rollback(deps: ControlDeps, tenant: TenantId, name: FunctionName): Promise<FunctionRecord> {
  const fn = await functionOf(deps, tenant, name);
  const revisions = await deps.store.listRevisions(tenant, name);
  const active = revisions.find((revision) => revision.id === fn.activeRevision);
  const before = revisions
    .filter((revision) => active !== undefined && revision.number < active.number)
    .reduce<Revision | null>(
      (best, next) => (best === null || next.number > best.number ? next : best),
      null,
    );
  if (before === null) throw new BerthError('NOT_FOUND', { what: 'revision before the active one' });
  return settled(deps, await deps.store.activate(tenant, name, before.id));
}

const noFunction = (name: FunctionName) => new BerthError('NOT_FOUND', { what: what.fn(name) });
const noRevision = (id: RevisionId) => new BerthError('NOT_FOUND', { what: what.revision(id) });
