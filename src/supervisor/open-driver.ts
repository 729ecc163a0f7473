/** Makes the driver with what it needs on this host, and removes what a killed platform left over. */
import { join } from 'node:path';
import type { Driver } from '../drivers/driver.ts';
import type { DriverLog } from '../drivers/driver-log.ts';
import type { DockerOptions } from '../drivers/docker/docker-options.ts';
import { createJailDriver } from '../drivers/jail/jail-driver.ts';
import { createProcessDriver } from '../drivers/process/process-driver.ts';
import type { Config } from '../config/settings.ts';
import { nodePaths } from '../drivers/image/node-packages.ts';
import { buildKeeperBundle, buildRuntimeBundle, stopBundler } from '../modules/runtime-bundle.ts';
import { chooseDriver } from './choose-driver.ts';
import { requireOwnFolder } from './data-folder.ts';
import { instanceId } from './instance-id.ts';

export interface OpenDriverOptions {
  readonly config: Config;
  readonly runDir: string;
  readonly log: DriverLog;
}

/** @throws ConfigError when no sandbox can be made on this host */
export async function openDriver({ config, runDir, log }: OpenDriverOptions): Promise<Driver> {
  const cache = join(config.dataDir, 'cache');
  requireOwnFolder(cache);
  const [runtimeFile, keeperFile] = await Promise.all([
    buildRuntimeBundle({ outDir: cache }),
    buildKeeperBundle({ outDir: cache }),
  ]).finally(stopBundler);
  const shared = { runDir, nodePath: process.execPath, runtimeFile, log };
  const driver = await chooseDriver(config.driver, {
    jail: async () => createJailDriver({ ...shared, rootDir: join(cache, 'root') }),
    docker: async () => {
      // Only who uses it loads what speaks HTTP to the engine.
      const { createDockerDriver } = await import('../drivers/docker/docker-driver.ts');
      const services = { kinds: config.services, keeperFile };
      return createDockerDriver({
        ...shared,
        ...dockerOptions(config),
        services,
        instance: instanceId(cache),
      });
    },
    process: async () => createProcessDriver(shared),
  });
  const removed = await driver.recover();
  if (removed.length > 0) log.warn({ sandboxes: removed.length }, 'removed what a killed platform left over');
  return driver;
}

type FromConfig = Pick<DockerOptions, 'host' | 'runtimes' | 'channel' | 'nodePaths'>;

function dockerOptions({ docker }: Config): FromConfig {
  const { host, runtime, channel } = docker;
  return {
    host,
    channel,
    runtimes: {
      standard: runtime === 'any' ? 'runc' : runtime,
      hardened: runtime === 'runc' ? null : 'runsc',
    },
    nodePaths,
  };
}
