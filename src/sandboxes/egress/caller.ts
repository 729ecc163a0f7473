import type { Runnable } from '../sandboxes.ts';
import type { TenantLog } from '../tenant-log.ts';
import type { EgressCaller } from './egress.ts';

/** The tenant's code that a sandbox runs, as the broker knows it. */
export function callerOf(runnable: Runnable, log: TenantLog): EgressCaller {
  return {
    tenant: runnable.tenant,
    policy: () => runnable.egress(),
    limits: () => runnable.limits(),
    warn: (text) => log.platform('warn', text),
  };
}
