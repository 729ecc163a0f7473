/** Tenants: made, changed, deleted; what that means for their live sandboxes. */
import { DEFAULT_EGRESS_POLICY, egressPolicySchema } from '../contracts/egress.ts';
import { BerthError } from '../contracts/errors.ts';
import type { TenantId } from '../contracts/ids.ts';
import { effectiveLimits, limitOverridesSchema } from '../contracts/limits.ts';
import type { IsolationTier } from '../contracts/isolations.ts';
import type { Tenant, UsageEntry } from '../contracts/model.ts';
import type { Control } from './control.ts';
import { type ControlDeps, what } from './control-deps.ts';
import { refuseSharedGaps } from './isolation-gaps.ts';

/** Who goes on making services of a tenant that is deleted is told so. */
const REMOVAL_ATTEMPTS = 5;

type TenantControl = Pick<
  Control,
  'createTenant' | 'getTenant' | 'listTenants' | 'updateTenant' | 'deleteTenant' | 'limitsOf' | 'usage'
>;

export function createTenantControl(deps: ControlDeps): TenantControl {
  const { store } = deps;
  const inTurn = oneAtATime();
  return {
    createTenant: (tenant) => inTurn(() => create(deps, tenant)),
    getTenant: (id) => tenantOf(deps, id),
    listTenants: (page) => store.listTenants(page),
    updateTenant: (id, change) => update(deps, id, change),
    deleteTenant: (id) => remove(deps, id),
    usage: (id, days) => usage(deps, id, days),
    limitsOf: (tenant) => effectiveLimits(deps.limits, tenant.limits),
  };
}

/** @throws BerthError NOT_FOUND */
export async function tenantOf({ store }: Pick<ControlDeps, 'store'>, id: TenantId): Promise<Tenant> {
  const tenant = await store.getTenant(id);
  if (tenant === null) throw new BerthError('NOT_FOUND', { what: what.tenant(id) });
  return tenant;
}

async function create(deps: ControlDeps, tenant: Parameters<Control['createTenant']>[0]): Promise<Tenant> {
  refuseSharedGaps(deps.facts, deps.acceptedGaps, (await deps.store.countTenants()) + 1);
  const { id, name = id, limits = {}, egress = DEFAULT_EGRESS_POLICY, isolation = 'standard' } = tenant;
  requireIsolation(deps, isolation);
  const created = await deps.store.createTenant({
    id,
    name,
    limits: limitOverridesSchema.parse(limits),
    egress: egressPolicySchema.parse(egress),
    isolation,
  });
  await deps.directorySettled();
  return created;
}

/** Never another one in its place. @throws BerthError ISOLATION_UNAVAILABLE */
function requireIsolation({ facts }: ControlDeps, isolation: IsolationTier): void {
  if (facts.runtimes[isolation] !== null) return;
  throw new BerthError('ISOLATION_UNAVAILABLE', { isolation, driver: facts.driver });
}

type TenantChange = Parameters<Control['updateTenant']>[1];

async function update(deps: ControlDeps, id: TenantId, change: TenantChange): Promise<Tenant> {
  if (change.isolation !== undefined) requireIsolation(deps, change.isolation);
  const before = await tenantOf(deps, id);
  const updated = await deps.store.updateTenant(id, change);
  await deps.directorySettled();
  const isForSandboxes = [change.limits, change.egress, change.isolation].some((one) => one !== undefined);
  if (isForSandboxes) await deps.sandboxes.applyLimits(id);
  if (updated.state === 'suspended') await deps.sandboxes.evict(id);
  const isForServices = updated.state !== before.state || updated.isolation !== before.isolation;
  if (isForServices) await deps.services.settle(id);
  return updated;
}

async function remove(deps: ControlDeps, id: TenantId): Promise<void> {
  if (!(await removeWithServices(deps, id))) throw new BerthError('NOT_FOUND', { what: what.tenant(id) });
  // Routes go first: otherwise a request between the two would start a sandbox for a tenant that is gone.
  await deps.directorySettled();
  await deps.sandboxes.evict(id);
}

/** As long as the tenant is there, what is left of its services is known. One that is made meanwhile is removed, too. */
async function removeWithServices({ services, store }: ControlDeps, id: TenantId): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    await services.removeAll(id);
    try {
      return await store.deleteTenant(id);
    } catch (error) {
      const isMadeMeanwhile = error instanceof BerthError && error.code === 'CONFLICT';
      if (!isMadeMeanwhile || attempt === REMOVAL_ATTEMPTS) throw error;
    }
  }
}

const DAY_MS = 86_400_000;

async function usage(deps: ControlDeps, id: TenantId, days: number): Promise<readonly UsageEntry[]> {
  await tenantOf(deps, id);
  const now = deps.clock.now();
  const dayOf = (at: number): string => new Date(at).toISOString().slice(0, 10);
  return deps.store.readUsage(id, { from: dayOf(now - (days - 1) * DAY_MS), to: dayOf(now) });
}

/** Runs tasks one after the other: counting the tenants and adding one must not be interleaved with another's. */
function oneAtATime(): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const result = last.then(task);
    last = result.catch(() => undefined);
    return result;
  };
}
