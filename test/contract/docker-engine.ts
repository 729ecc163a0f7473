/** Which engine the tests of the Docker driver use, and whether there is one; said once for each file of them. */
import { createHash } from 'node:crypto';
import { createDockerDriver } from '../../src/drivers/docker/docker-driver.ts';
import type { DockerOptions } from '../../src/drivers/docker/docker-options.ts';
import { EngineClient } from '../../src/drivers/docker/engine-client.ts';
import type { Driver } from '../../src/drivers/driver.ts';
import type { DriverPlace } from './driver-world.ts';

/** As the docker command takes it; `.ci/run` starts an engine of its own and sets it. */
export const engineHost = process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock';

export interface DockerVariant {
  /** `runsc-closed`: no sandbox can connect to a socket of the host. */
  readonly runtime: 'runc' | 'runsc' | 'runsc-closed';
  readonly channel: DockerOptions['channel'];
  /** Of another engine than the tests' common one. */
  readonly host?: string;
}

/** @returns why the tests are skipped, null when they run. @throws Error when BERTH_REQUIRE_DOCKER=1 and they cannot */
export async function reasonToSkipDocker(runtime: string): Promise<string | null> {
  const reason = await findReason(runtime);
  if (reason !== null && process.env['BERTH_REQUIRE_DOCKER'] === '1')
    throw new Error(`BERTH_REQUIRE_DOCKER=1, but ${reason}`);
  if (reason !== null) console.warn(`tests of docker+${runtime} are skipped: ${reason}`);
  return reason;
}

async function findReason(runtime: string): Promise<string | null> {
  if (process.geteuid?.() !== 0) return 'they want root, for uids and for what the host shows of containers';
  const engine = new EngineClient(engineHost);
  try {
    const info = (await engine.call({ method: 'GET', path: '/info' })) as { Runtimes: object };
    return runtime in info.Runtimes ? null : `the engine at ${engineHost} has no runtime ${runtime}`;
  } catch (error) {
    return `no engine answers at ${engineHost} (${String(error)}); set DOCKER_HOST`;
  } finally {
    engine.close();
  }
}

export function createTestDockerDriver(
  place: DriverPlace,
  { runtime, channel, host }: DockerVariant,
): Driver {
  return createDockerDriver({
    host: host ?? engineHost,
    runtimes: { standard: runtime, hardened: null } satisfies DockerOptions['runtimes'],
    channel,
    instance: createHash('sha256').update(place.runDir).digest('hex').slice(0, 16),
    runDir: place.runDir,
    nodePaths: () => [place.nodePath],
    runtimeFile: place.runtimeFile,
    services: { kinds: {}, keeperFile: place.runtimeFile },
    log: place.log,
  });
}
