/** Whether this machine can run the tests of the jail, said once for each file of them. */
import { createJailDriver } from '../../src/drivers/jail/jail-driver.ts';
import { DriverWorld } from './driver-world.ts';

/** @returns why the tests are skipped, null when they run. @throws Error when BERTH_REQUIRE_JAIL=1 and they cannot */
export async function reasonToSkipJail(): Promise<string | null> {
  const reason = await findReason();
  if (reason !== null && process.env['BERTH_REQUIRE_JAIL'] === '1')
    throw new Error(`BERTH_REQUIRE_JAIL=1, but ${reason}`);
  if (reason !== null) console.warn(`tests of the jail are skipped: ${reason}`);
  return reason;
}

async function findReason(): Promise<string | null> {
  if (process.geteuid?.() !== 0) return 'they want root, for uids and control groups';
  const world = new DriverWorld(createJailDriver);
  try {
    const { isUsable, reason, gaps } = await world.driver.facts();
    if (!isUsable) return reason ?? 'the jail cannot be used';
    return gaps.size === 0 ? null : `this host cannot give ${[...gaps.keys()].join(', ')}`;
  } finally {
    await world.close();
  }
}
