/** What the jail leaves behind when it has only looked whether the host can make one. */
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createJailDriver } from '../../src/drivers/jail/jail-driver.ts';
import { groupNameOf } from '../../src/drivers/jail/jail-ground.ts';
import { instanceCgroups } from '../support/host.ts';
import { reasonToSkipJail } from './driver-jail-world.ts';
import { DriverWorld } from './driver-world.ts';

const skipped = await reasonToSkipJail();

test.skipIf(skipped !== null)('a jail that cannot be started leaves no control group', async () => {
  const rootDir = mkdtempSync(join(tmpdir(), 'berth-root-'));
  chmodSync(rootDir, 0o755);
  const world = new DriverWorld((place) => createJailDriver({ ...place, rootDir }));
  await world.driver.recover();
  rmSync(rootDir, { recursive: true });
  expect(await world.driver.facts()).toMatchObject({ isUsable: false });
  const groups = instanceCgroups(groupNameOf(world.runDir));
  const left = groups.flatMap((group) =>
    readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory()),
  );
  expect(groups.length).toBeGreaterThan(0);
  expect(left.map(({ name }) => name)).toEqual([]);
  await world.close();
});
