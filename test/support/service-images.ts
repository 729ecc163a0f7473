/** Images of a real Redis and a real PostgreSQL on the tests' engine, made from this machine's packages once. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { engineHost } from '../contract/docker-engine.ts';
import { projectRoot } from './platform.ts';

const run = promisify(execFile);
const BUILD_MS = 240_000;
const images = { redis: 'berth-test-redis:1', postgres: 'berth-test-postgres:1' } as const;

/** For BERTH_SERVICES. The kind `nothing` has an image that is not there. */
export const serviceSettings = JSON.stringify({
  redis: { image: images.redis },
  postgres: { image: images.postgres },
  nothing: { image: 'berth-test-nothing:1', port: 1, dataPath: '/data', url: 'x:{port}' },
});

export async function docker(...args: string[]): Promise<string> {
  const env = { ...process.env, DOCKER_HOST: engineHost };
  return (await run('docker', args, { cwd: projectRoot, env, timeout: BUILD_MS })).stdout.trim();
}

export async function buildServiceImages(): Promise<void> {
  const env = { ...process.env, DOCKER_HOST: engineHost };
  const wanted = Object.entries(images).map(([kind, image]) => `${kind}=${image}`);
  await run('bash', ['scripts/service-images.sh', ...wanted], { cwd: projectRoot, env, timeout: BUILD_MS });
}
