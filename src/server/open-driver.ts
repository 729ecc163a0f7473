/** Makes the driver with what it needs on this host, and removes what a killed platform left over. */
import { join } from 'node:path';
import type { Driver, DriverFacts } from '../drivers/driver.ts';
import { createJailDriver } from '../drivers/jail/jail-driver.ts';
import { createProcessDriver } from '../drivers/process/process-driver.ts';
import type { Config } from '../config/settings.ts';
import { buildRuntimeBundle } from '../modules/runtime-bundle.ts';
import type { PlatformLog } from '../sandboxes/services.ts';
import { chooseDriver } from './choose-driver.ts';
import { makeRunDir, runDirFor } from './run-dir.ts';

export interface OpenDriver {
  readonly driver: Driver;
  readonly facts: DriverFacts;
  readonly runDir: string;
}

/** @throws ConfigError when no sandbox can be made on this host */
export async function openDriver({
  config,
  log,
}: {
  readonly config: Config;
  readonly log: PlatformLog;
}): Promise<OpenDriver> {
  const uid = process.geteuid?.() ?? 0;
  const runDir = runDirFor({
    dataDir: config.dataDir,
    uid,
    runtimeDir: process.env['XDG_RUNTIME_DIR'],
  });
  makeRunDir(runDir, uid);
  const cache = join(config.dataDir, 'cache');
  const runtimeFile = await buildRuntimeBundle({ outDir: cache });
  const shared = { runDir, nodePath: process.execPath, runtimeFile, log };
  const { driver, facts } = await chooseDriver(config.driver, {
    jail: () => createJailDriver({ ...shared, rootDir: join(cache, 'root') }),
    process: () => createProcessDriver(shared),
  });
  const removed = await driver.recover();
  if (removed.length > 0) log.warn({ sandboxes: removed.length }, 'removed what a killed platform left over');
  return { driver, facts, runDir };
}
