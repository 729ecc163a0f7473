/** Services of the Docker driver. */
import { describe } from 'vitest';
import { engineHost, reasonToSkipDocker } from './docker-engine.ts';
import { describeServices } from './docker-services-suite.ts';

const reasons = { runc: await reasonToSkipDocker('runc'), runsc: await reasonToSkipDocker('runsc') };

for (const runtime of ['runc', 'runsc'] as const) {
  describe.skipIf(reasons[runtime] !== null)(`services of docker+${runtime}`, () => {
    describeServices({ host: engineHost, runtime });
  });
}
