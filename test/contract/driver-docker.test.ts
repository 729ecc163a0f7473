import { describe } from 'vitest';
import { createTestDockerDriver, type DockerVariant, reasonToSkipDocker } from './docker-engine.ts';
import { describeBackground } from './background-suite.ts';
import { describeDriver } from './driver-suite.ts';

const variants = [
  { runtime: 'runc', channel: 'auto' },
  { runtime: 'runc', channel: 'stdio' },
  { runtime: 'runsc', channel: 'auto' },
  { runtime: 'runsc', channel: 'stdio' },
] as const satisfies readonly DockerVariant[];
const reasons = {
  runc: await reasonToSkipDocker('runc'),
  runsc: await reasonToSkipDocker('runsc'),
};

for (const variant of variants) {
  const { runtime, channel } = variant;
  describe.skipIf(reasons[runtime] !== null)(`docker with ${runtime}, channel ${channel}`, () => {
    describeDriver({
      name: 'docker',
      title: `docker+${runtime}, channel ${channel}`,
      make: (place) => createTestDockerDriver(place, variant),
      socketPath: () => (channel === 'stdio' ? '-' : '/berth/channel/channel.sock'),
      diesWithPlatform: false,
      freezes: runtime === 'runc',
      platformArguments: [JSON.stringify(variant)],
    });
    // Programs in gVisor are no threads of the host.
    if (runtime === 'runc' && channel === 'auto')
      describeBackground('docker', (place) => createTestDockerDriver(place, variant));
  });
}
