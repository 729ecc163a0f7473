/**
 * The driver under the tests through the real platform: BERTH_TEST_DRIVER is jail (left out), docker+runc or docker+runsc.
 * The engine is the one of DOCKER_HOST. `.ci/run` runs them with each.
 */
import { reasonToSkipDocker } from '../contract/docker-engine.ts';

const names = ['jail', 'docker+runc', 'docker+runsc'] as const;
export type TestDriver = (typeof names)[number];

/** Of this moment: `npm run bench -- --driver` sets it after everything is loaded. */
export function currentDriver(): TestDriver {
  return nameOf(process.env['BERTH_TEST_DRIVER'] ?? 'jail');
}

const testDriver = currentDriver();
export const isDocker = testDriver !== 'jail';
/** System calls end in gVisor. */
export const hasOwnKernel = testDriver === 'docker+runsc';

/** Gaps of these runtimes on an ordinary engine; the tests have several tenants. */
const acceptedGaps = 'user-namespace,dies-with-platform,tmp-limit';

/** Variables for a platform that uses the driver. */
export function driverEnvironment(driver: TestDriver = currentDriver()): Record<string, string> {
  if (driver === 'jail') return { BERTH_DRIVER: 'jail' };
  return {
    BERTH_DRIVER: 'docker',
    BERTH_DOCKER_HOST: process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock',
    BERTH_DOCKER_RUNTIME: driver === 'docker+runc' ? 'runc' : 'runsc',
    BERTH_ACCEPT_GAPS: acceptedGaps,
  };
}

/** @throws Error when the wanted engine or runtime is not there: who names a driver wants it tested */
export async function requireTestDriver(): Promise<void> {
  const driver = currentDriver();
  if (driver === 'jail') return;
  const reason = await reasonToSkipDocker(driver.replace('docker+', ''));
  if (reason !== null) throw new Error(`BERTH_TEST_DRIVER=${driver}, but ${reason}`);
}

function nameOf(text: string): TestDriver {
  const name = names.find((one) => one === text);
  if (name !== undefined) return name;
  throw new Error(`BERTH_TEST_DRIVER is "${text}"; it can be ${names.join(', ')}`);
}
