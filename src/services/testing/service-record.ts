import { serviceNameSchema, tenantIdSchema, volumeIdSchema } from '../../contracts/ids.ts';
import type { ServiceRecord } from '../../contracts/model.ts';

/** A service `cache` of the tenant `acme` that shall run, of the kind `words`. */
export function serviceRecord(change: Partial<ServiceRecord> = {}): ServiceRecord {
  return {
    tenant: tenantIdSchema.parse('acme'),
    name: serviceNameSchema.parse('cache'),
    kind: 'words',
    wanted: 'running',
    volume: volumeIdSchema.parse(`v${'b'.repeat(20)}`),
    memoryBytes: 1_000,
    password: 'secret',
    createdAt: 1,
    ...change,
  };
}
