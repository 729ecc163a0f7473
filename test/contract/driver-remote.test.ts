/** The driver `remote`, its supervisor's side and a real driver behind it pass what every driver must do. */
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import type { Driver } from '../../src/drivers/driver.ts';
import { createJailDriver } from '../../src/drivers/jail/jail-driver.ts';
import { createProcessDriver } from '../../src/drivers/process/process-driver.ts';
import { createRemoteDriver } from '../../src/drivers/remote/remote-driver.ts';
import { socketPair } from '../../src/drivers/remote/testing/socket-pair.ts';
import { ChannelFolder } from '../../src/supervisor/channel-folder.ts';
import { DriverSession } from '../../src/supervisor/driver-session.ts';
import { reasonToSkipJail } from './driver-jail-world.ts';
import { describeDriver } from './driver-suite.ts';
import type { DriverPlace } from './driver-world.ts';

const MAX_SANDBOXES = 8;

const pairs: [Socket, Socket][] = [];
beforeAll(async () => {
  for (let count = 0; count < 12; count++) pairs.push(await socketPair());
});
afterAll(() => {
  for (const socket of pairs.flat()) socket.destroy();
});

type Make = (place: DriverPlace) => Driver;

/** What `remote` closes is the session; behind it the driver itself is closed, as the supervisor does at its end. */
function remoteOf(make: Make, name: 'jail' | 'process'): Make {
  return (place) => {
    const [client, server] = pairs.pop()!;
    const driver = make(place);
    const channels = new ChannelFolder({ runDir: place.runDir, serverUid: process.geteuid!() });
    const session = new DriverSession({
      socket: server,
      driver,
      channels,
      maxSandboxes: MAX_SANDBOXES,
      log: place.log,
      onBreach: () => place.log.warn({}, 'breach'),
    });
    const remote = createRemoteDriver({ name, socket: client, onLost: () => undefined });
    const close = remote.close.bind(remote);
    remote.close = async () => {
      await close();
      await session.end();
      await driver.close();
    };
    return remote;
  };
}

describe('remote, with process behind it', () => {
  describeDriver({
    name: 'process',
    make: remoteOf(createProcessDriver, 'process'),
    socketPath: (dir) => join(dir, 'channel.sock'),
    diesWithPlatform: false,
    freezes: false,
  });
});

const skipped = await reasonToSkipJail();
describe.skipIf(skipped !== null)('remote, with jail behind it', () => {
  describeDriver({
    name: 'jail',
    make: remoteOf(createJailDriver, 'jail'),
    socketPath: () => '/berth/channel/channel.sock',
    diesWithPlatform: true,
    freezes: true,
  });
});
