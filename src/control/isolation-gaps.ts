/** The rule of design section 6: no second tenant where the driver lacks an isolation that the operator did not accept. */
import { BerthError } from '../contracts/errors.ts';
import type { DriverFacts, Isolation } from '../drivers/driver.ts';

/** Gaps that nobody accepted, in the driver's order. */
export function openGaps(facts: DriverFacts, accepted: readonly Isolation[]): readonly Isolation[] {
  return [...facts.gaps.keys()].filter((gap) => !accepted.includes(gap));
}

/** @throws BerthError ISOLATION_GAP when `tenants` (a count) is more than the driver may serve */
export function refuseSharedGaps(facts: DriverFacts, accepted: readonly Isolation[], tenants: number): void {
  if (tenants <= 1) return;
  const gaps = openGaps(facts, accepted);
  if (gaps.length > 0) {
    throw new BerthError('ISOLATION_GAP', { gaps: gaps.join(','), driver: facts.driver });
  }
}
