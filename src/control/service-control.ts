/** Services that tenants are given: made within their limits, started, stopped, deleted. */
import { BerthError } from '../contracts/errors.ts';
import { serviceNameSchema, volumeIdSchema, type VolumeId } from '../contracts/ids.ts';
import { effectiveLimits } from '../contracts/limits.ts';
import type { ServiceRecord } from '../contracts/model.ts';
import { SERVICE_SUFFIX, serviceSecretNames } from '../contracts/services.ts';
import type { ServiceStatus } from '../services/services.ts';
import type { Control, ServiceView } from './control.ts';
import type { ControlDeps } from './control-deps.ts';
import { tenantOf } from './tenant-control.ts';

const PASSWORD_BYTES = 24;
const VOLUME_BYTES = 10;

type ServiceControl = Pick<
  Control,
  'createService' | 'listServices' | 'startService' | 'stopService' | 'deleteService'
>;

export function createServiceControl(deps: ControlDeps): ServiceControl {
  const { services, directorySettled } = deps;
  return {
    async createService(tenant, request) {
      const created = await create(deps, tenant, request);
      await directorySettled();
      return viewOf(deps, created);
    },
    async listServices(tenant) {
      await tenantOf(deps, tenant);
      return (await services.list(tenant)).map((status) => viewOf(deps, status));
    },
    startService: async (tenant, name) => viewOf(deps, await services.start(tenant, name)),
    stopService: async (tenant, name) => viewOf(deps, await services.stop(tenant, name)),
    async deleteService(tenant, name) {
      await services.remove(tenant, name);
      await directorySettled();
    },
  };
}

async function create(
  deps: ControlDeps,
  id: ServiceRecord['tenant'],
  { kind, name, memoryBytes }: Parameters<Control['createService']>[1],
): Promise<ServiceStatus> {
  const tenant = await tenantOf(deps, id);
  const kinds = Object.keys(deps.serviceKinds);
  if (!kinds.includes(kind)) throw new BerthError('SERVICE_KIND_UNKNOWN', { kind, kinds: kinds.join(', ') });
  const limits = effectiveLimits(deps.limits, tenant.limits);
  const most = limits.serviceMemoryBytes;
  if (memoryBytes !== undefined && memoryBytes > most)
    throw new BerthError('LIMIT_REACHED', { name: 'serviceMemoryBytes', limit: most });
  const record: ServiceRecord = {
    tenant: id,
    name: name ?? serviceNameSchema.parse(kind),
    kind,
    wanted: 'running',
    volume: newVolume(deps),
    memoryBytes: memoryBytes ?? most,
    // Fits into a URL as it is.
    password: Buffer.from(deps.random(PASSWORD_BYTES)).toString('base64url'),
    createdAt: deps.clock.now(),
  };
  return deps.services.create(record, limits.services);
}

function newVolume({ random }: ControlDeps): VolumeId {
  return volumeIdSchema.parse(`v${Buffer.from(random(VOLUME_BYTES)).toString('hex')}`);
}

function viewOf(
  { serviceKinds }: ControlDeps,
  { record, state, reason, diskBytes }: ServiceStatus,
): ServiceView {
  const { tenant, name, kind, memoryBytes, createdAt } = record;
  return {
    tenant,
    name,
    kind,
    state,
    reason,
    host: `${name}${SERVICE_SUFFIX}`,
    port: serviceKinds[kind]?.port ?? null,
    secrets: serviceSecretNames(name),
    memoryBytes,
    diskBytes,
    createdAt,
  };
}
