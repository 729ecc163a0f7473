/** Berth's side: the real platform as a process of its own, with functions deployed over its API. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, projectRoot, TestPlatform } from '../../test/support/platform.ts';
import type { Scope } from './child.ts';
import { gauge } from './pool.ts';

/** A tenant that is not stopped by the limits that protect others from it; each is still counted at every request. */
const AMPLE_LIMITS = {
  requestsPerSecond: 1_000_000,
  concurrency: 10_000,
  functions: 1_000_000,
  sandboxesPerTenant: 2_000,
};

const LEAVE_MS = 180_000;

export const helloSource = serverSource('hello.cjs');

export function serverSource(name: string): string {
  return readFileSync(serverFile(name), 'utf8');
}

export function serverFile(name: string): string {
  return join(projectRoot, 'bench/servers', name);
}

/** Settings as shipped, but for those in `env`. */
export async function startBerth(scope: Scope, env: Record<string, string> = {}): Promise<TestPlatform> {
  const platform = await TestPlatform.start(env);
  scope.defer(() => platform.stop());
  return platform;
}

export function portOf(platform: TestPlatform): number {
  return Number(new URL(platform.url).port);
}

export async function addTenant(platform: TestPlatform, tenant: string): Promise<void> {
  await platform.createTenant(tenant, AMPLE_LIMITS);
}

/** Deploys `count` functions `f0`, `f1` … of one tenant. @returns their paths at the gateway */
export async function deployMany(
  platform: TestPlatform,
  options: { readonly tenant: string; readonly count: number; readonly source: string },
): Promise<string[]> {
  const { tenant, count, source } = options;
  const paths: string[] = [];
  for (let number = 0; number < count; number++) {
    await platform.deploy(tenant, `f${number}`, source);
    paths.push(`/run/${tenant}/f${number}`);
  }
  return paths;
}

/**
 * Deletes a tenant with all it has, and waits until its sandboxes are gone: none of them ends beside what is measured next.
 * @param residents sandboxes of others
 */
export async function removeTenant(platform: TestPlatform, tenant: string, residents = 0): Promise<void> {
  await platform.must('DELETE', `/v1/tenants/${tenant}`);
  await eventually(async () => {
    const claimed = await gauge(platform, 'berth_sandboxes{state="claimed"}');
    const ending = await gauge(platform, 'berth_sandboxes{state="ending"}');
    if (claimed > residents || ending > 0) throw new Error(`${claimed} are claimed, ${ending} are ending`);
  }, LEAVE_MS);
}

/** @returns a token of the tenant that may run its functions */
export async function issueToken(platform: TestPlatform, tenant: string): Promise<string> {
  const { token } = await platform.must<{ token: string }>('POST', `/v1/tenants/${tenant}/tokens`, {
    scopes: ['run'],
    expiresInSeconds: 86_400,
  });
  return token;
}
