/** What is decided of a sandbox before it is started. */
import type { Mould } from './mould.ts';
import type { SourcePlaces } from './source-places.ts';

export interface SandboxPlan {
  readonly mould: Mould;
  /** Started for the pool, not for a request that waits. */
  readonly isRefill: boolean;
  readonly places: SourcePlaces;
}
