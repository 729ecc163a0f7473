import { expect, test } from 'vitest';
import type { SandboxId } from '../../contracts/ids.ts';
import { ContainerSandbox } from './container-sandbox.ts';
import { EngineClient, isUnreached } from './engine-client.ts';
import { EngineContainers } from './engine-containers.ts';

test('one that was ordered while the engine is away leaves nothing to be removed when it is back', async () => {
  const engine = new EngineClient('unix:///nowhere/docker.sock');
  const spec = { id: 's0000000000000001' as SandboxId, channelDir: '/nowhere' };
  const basis = { spec, hasOwnKernel: false, way: 'socket' } as const;
  const sandbox = new ContainerSandbox(new EngineContainers(engine), {
    basis,
    config: {},
    graceSeconds: null,
  });
  const error = await sandbox.start().catch((reason: unknown) => reason);
  expect(isUnreached(error)).toBe(true);
  await sandbox.remove();
  engine.close();
});
