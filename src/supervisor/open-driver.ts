/** Makes the driver with what it needs on this host, and removes what a killed platform left over. */
import { join } from 'node:path';
import type { Driver } from '../drivers/driver.ts';
import type { DriverLog } from '../drivers/driver-log.ts';
import { createJailDriver } from '../drivers/jail/jail-driver.ts';
import { createProcessDriver } from '../drivers/process/process-driver.ts';
import type { Config } from '../config/settings.ts';
import { buildRuntimeBundle, stopBundler } from '../modules/runtime-bundle.ts';
import { chooseDriver } from './choose-driver.ts';
import { requireOwnFolder } from './data-folder.ts';

export interface OpenDriverOptions {
  readonly config: Config;
  readonly runDir: string;
  readonly log: DriverLog;
}

/** @throws ConfigError when no sandbox can be made on this host */
export async function openDriver({ config, runDir, log }: OpenDriverOptions): Promise<Driver> {
  const cache = join(config.dataDir, 'cache');
  requireOwnFolder(cache);
  const runtimeFile = await buildRuntimeBundle({ outDir: cache }).finally(stopBundler);
  const shared = { runDir, nodePath: process.execPath, runtimeFile, log };
  const driver = await chooseDriver(config.driver, {
    jail: () => createJailDriver({ ...shared, rootDir: join(cache, 'root') }),
    process: () => createProcessDriver(shared),
  });
  const removed = await driver.recover();
  if (removed.length > 0) log.warn({ sandboxes: removed.length }, 'removed what a killed platform left over');
  return driver;
}
