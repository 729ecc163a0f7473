/** What control is made of; all of it comes from the composition root. */
import type { TokenIssuer } from '../auth/principal.ts';
import type { KeyId, TenantId } from '../contracts/ids.ts';
import type { LimitOverrides } from '../contracts/limits.ts';
import type { ServiceKinds } from '../contracts/services.ts';
import type { DriverFacts, Isolation } from '../drivers/driver.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Preparer } from '../modules/preparer.ts';
import type { Sandboxes } from '../sandboxes/sandboxes.ts';
import type { Services } from '../services/services.ts';
import type { Store } from '../store/store.ts';

export interface ControlDeps {
  readonly store: Store;
  readonly preparer: Preparer;
  readonly issuer: TokenIssuer;
  /** The operator's own defaults, between the table's and the tenant's. */
  readonly limits: LimitOverrides;
  readonly facts: DriverFacts;
  /** Gaps of the driver that the operator accepted by name. */
  readonly acceptedGaps: readonly Isolation[];
  /** Resolves when the routing table has taken in every change that the store has announced until now. */
  readonly directorySettled: () => Promise<void>;
  readonly sandboxes: Pick<Sandboxes, 'applyLimits' | 'evict' | 'facts' | 'rollout'>;
  readonly services: Pick<Services, 'create' | 'list' | 'remove' | 'removeAll' | 'settle' | 'start' | 'stop'>;
  readonly serviceKinds: ServiceKinds;
  /** Says why a tenant's JWKS address is refused, or null. Left out: it must be https and public. */
  readonly refuseJwksUrl?: (url: URL) => string | null;
  readonly clock: Pick<Clock, 'now'>;
  readonly random: (bytes: number) => Uint8Array;
  readonly sleep: (ms: number) => Promise<void>;
}

/** Also used as the answer to "is it there": the same words whether a thing is missing or somebody else's. */
export const what = {
  tenant: (id: TenantId | string) => `tenant "${id}"`,
  fn: (name: string) => `function "${name}"`,
  revision: (id: string) => `revision "${id}"`,
  secret: (name: string) => `secret "${name}"`,
  key: (id: KeyId) => `key "${id}"`,
  platformKey: (id: KeyId) => `platform key "${id}"`,
} as const;
