import { expect, it } from 'vitest';
import { connectionsWithin, openFilesLimit } from './open-files.ts';

it.each<[openFiles: number, maxSandboxes: number, connections: number]>([
  [1_048_576, 500, 20_000],
  [10_000, 500, 8_872],
  [1_024, 500, 256],
  [256, 10, 108],
])('of %d descriptors, with %d sandboxes, %d are for connections', (openFiles, maxSandboxes, connections) => {
  expect(connectionsWithin(openFiles, maxSandboxes)).toBe(connections);
});

it('the limit of this process is known', () => {
  expect(openFilesLimit()).toBeGreaterThan(100);
});
