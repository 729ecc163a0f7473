/** Which driver makes the sandboxes: the configured one, or the jail. Isolation is never given up without being asked. */
import { ConfigError } from '../config/config-error.ts';
import type { Config } from '../config/settings.ts';
import type { Driver } from '../drivers/driver.ts';

/** @throws ConfigError when the driver cannot make sandboxes on this host, with the way out */
export async function chooseDriver(
  wanted: Config['driver'],
  create: Readonly<Record<'jail' | 'docker' | 'process', () => Promise<Driver>>>,
): Promise<Driver> {
  const driver = await create[wanted === 'auto' ? 'jail' : wanted]();
  const facts = await driver.facts();
  if (facts.isUsable) return driver;
  await driver.close();
  throw new ConfigError([
    {
      where: 'driver',
      what: `the driver ${driver.name} cannot make sandboxes here: ${facts.reason ?? 'unknown reason'}`,
      wayOut: 'Mend that, or, for development only and without any isolation: BERTH_DRIVER=process npm start',
    },
  ]);
}
