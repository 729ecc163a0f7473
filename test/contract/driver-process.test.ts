import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isolations } from '../../src/drivers/driver.ts';
import { createProcessDriver } from '../../src/drivers/process/process-driver.ts';
import { describeDriver } from './driver-suite.ts';
import { DriverWorld } from './driver-world.ts';

describeDriver({
  name: 'process',
  make: createProcessDriver,
  socketPath: (dir) => join(dir, 'channel.sock'),
  diesWithPlatform: false,
  freezes: false,
});

test('the driver process says that it isolates nothing', async () => {
  const world = new DriverWorld(createProcessDriver);
  const { gaps } = await world.driver.facts();
  expect([...gaps.keys()].sort()).toEqual([...isolations].sort());
  await world.close();
});
