/** On an engine with userns-remap, an own one: no number of a user is as high there as elsewhere. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DriverFacts } from '../../src/drivers/driver.ts';
import { projectRoot } from '../support/platform.ts';
import { createTestDockerDriver, reasonToSkipDocker } from './docker-engine.ts';
import { describeServices } from './docker-services-suite.ts';
import { DriverWorld } from './driver-world.ts';

const START_MS = 120_000;
const reasons = { runc: await reasonToSkipDocker('runc'), runsc: await reasonToSkipDocker('runsc') };
const isSkipped = reasons.runc !== null;

describe.skipIf(isSkipped)('an engine that maps users', () => {
  const dir = isSkipped ? '' : mkdtempSync(join(tmpdir(), 'engine-'));
  const host = `unix://${dir}/docker.sock`;
  const engine = async (...args: string[]): Promise<void> => {
    await promisify(execFile)('bash', ['scripts/docker-engine.sh', ...args], { cwd: projectRoot });
  };
  beforeAll(() => engine('start', dir, '--userns-remap'), START_MS);
  afterAll(() => engine('stop', dir), START_MS);

  test('gives sandboxes a user namespace, and users that are not root', async () => {
    const world = new DriverWorld((place) =>
      createTestDockerDriver(place, { runtime: 'runc', channel: 'socket', host }),
    );
    try {
      const probe = await world.start();
      expect([...(await world.driver.facts()).gaps.keys()]).toEqual(['dies-with-platform']);
      expect(await probe.run<number>('return process.getuid()')).toBeGreaterThan(0);
    } finally {
      await world.close();
    }
  });

  // It sees mounts of its own alone: as another machine's, or one beside whose container the platform runs.
  test('and sees no folder of the platform is refused to who asks for the socket, and serves others', async () => {
    const own = mkdtempSync(join(tmpdir(), 'unseen-'));
    await promisify(execFile)('mount', ['-t', 'tmpfs', 'unseen', own]);
    const ask = async (channel: 'socket' | 'auto'): Promise<DriverFacts> => {
      const world = new DriverWorld((place) =>
        createTestDockerDriver({ ...place, runDir: join(own, channel) }, { runtime: 'runc', channel, host }),
      );
      try {
        return await world.driver.facts();
      } finally {
        await world.close();
      }
    };
    try {
      const refused = await ask('socket');
      expect(refused.isUsable).toBe(false);
      expect(refused.reason).toMatch(/docker\.channel is socket.*run directory.*auto or stdio/);
      expect((await ask('auto')).isUsable).toBe(true);
    } finally {
      await promisify(execFile)('umount', [own]);
      rmdirSync(own);
    }
  });

  for (const runtime of ['runc', 'runsc'] as const)
    describe.skipIf(reasons[runtime] !== null)(`services with ${runtime}`, () => {
      describeServices({ host, runtime });
    });
});
