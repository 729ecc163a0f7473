/** What is decided of a sandbox before it is started. */
import type { SandboxLimits } from '../drivers/driver.ts';
import type { SourcePlaces } from './source-places.ts';

export interface SandboxPlan {
  readonly heapMb: number;
  readonly limits: SandboxLimits;
  /** Started for the pool, not for a request that waits. */
  readonly isRefill: boolean;
  readonly places: SourcePlaces;
}
