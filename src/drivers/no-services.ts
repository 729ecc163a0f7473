/** What drivers answer that make no containers. */
import { BerthError } from '../contracts/errors.ts';
import type { DriverName } from './driver.ts';

export function noServices(driver: DriverName): BerthError {
  return new BerthError('SERVICES_UNAVAILABLE', { reason: `the driver ${driver} makes no containers` });
}
