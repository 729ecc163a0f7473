/** The Docker driver through the real platform: runtimes and isolation, Node versions, rollout under load, both channels. */
import { appendFileSync, copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { engineHost, reasonToSkipDocker } from '../contract/docker-engine.ts';
import { requireEngine } from '../../src/drivers/docker/docker-ground.ts';
import { findCurrentImage, loadImage } from '../../src/drivers/docker/engine-images.ts';
import { ownNodeMajor, ownNodeVersion } from '../../src/drivers/facts.ts';
import { describeImage } from '../../src/drivers/image/sandbox-image.ts';
import { nodePackages } from '../../src/drivers/image/node-packages.ts';
import { buildRuntimeBundle } from '../../src/modules/runtime-bundle.ts';
import { TestPlatform } from '../support/platform.ts';
import { driverEnvironment } from '../support/test-driver.ts';

const reason = (await reasonToSkipDocker('runc')) ?? (await reasonToSkipDocker('runsc'));
const pool = { BERTH_POOL_MIN_BLANK: '2', BERTH_POOL_MAX_BLANK: '4' };

interface Seen {
  readonly version: string;
  readonly release: string;
  readonly pid: number;
}
const look =
  'module.exports = async () => ({ version: process.version, release: require("os").release(), pid: process.pid });';

async function seen(platform: TestPlatform, tenant: string, fn = 'look'): Promise<Seen> {
  const response = await platform.call(tenant, fn);
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return JSON.parse(text) as Seen;
}

describe.skipIf(reason !== null)('docker, runtimes runc and gVisor', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await TestPlatform.start({
      ...driverEnvironment('docker+runc'),
      BERTH_DOCKER_RUNTIME: 'any',
      ...pool,
    });
  });
  afterAll(() => platform.stop());

  it('a tenant with hardened isolation runs under gVisor, others do not; it can be changed on the fly', async () => {
    await platform.createTenant('plain');
    await platform.must('POST', '/v1/tenants', { id: 'risky', isolation: 'hardened' });
    await platform.deploy('plain', 'look', look);
    await platform.deploy('risky', 'look', look);
    const [plain, risky] = [await seen(platform, 'plain'), await seen(platform, 'risky')];
    expect(plain.release).toBe(release());
    expect(risky.release).not.toBe(plain.release);
    await platform.must('PATCH', '/v1/tenants/plain', { isolation: 'hardened' });
    expect((await seen(platform, 'plain')).release).toBe(risky.release);
    await platform.must('PATCH', '/v1/tenants/plain', { isolation: 'standard' });
    expect((await seen(platform, 'plain')).release).toBe(plain.release);
  });

  it('a user without an entry in /etc/passwd has a name, as libraries expect', async () => {
    const source =
      'import { userInfo } from "node:os"; export default () => Response.json([userInfo().username, process.getuid() === userInfo().uid]);';
    for (const tenant of ['plain', 'risky']) {
      await platform.deploy(tenant, 'user', source);
      expect(await (await platform.call(tenant, 'user')).json()).toEqual(['sandbox', true]);
    }
  });

  it('the facts of both runtimes are told to the operator', async () => {
    const { driver } = await platform.must<{
      driver: { runtimes: Record<string, object> };
    }>('GET', '/v1');
    const fixedLimits = ['tmpBytes', 'tmpInodes'];
    expect(driver.runtimes).toEqual({
      standard: {
        name: 'runc',
        hasOwnKernel: false,
        gaps: ['user-namespace', 'dies-with-platform'],
        fixedLimits,
        canFreeze: true,
      },
      hardened: {
        name: 'runsc',
        hasOwnKernel: true,
        gaps: ['tmp-limit', 'dies-with-platform'],
        fixedLimits,
        canFreeze: false,
      },
    });
  });

  it('engines.node chooses the Node of a function; what no image has is refused', async () => {
    await platform.createTenant('nodes');
    const deploy = (fn: string, nodeRange: string) =>
      platform.api<{ code?: string; revision?: { nodeRange: string } }>(
        'PUT',
        `/v1/tenants/nodes/functions/${fn}`,
        { source: look, nodeRange },
      );
    for (const { major, isInstalled } of nodePackages()) {
      expect(isInstalled, `npm ci --prefix node-versions/${major}`).toBe(true);
      const { status, body } = await deploy(`on-${major}`, `^${major}.0.0`);
      expect([status, body.revision?.nodeRange]).toEqual([200, `^${major}.0.0`]);
      expect((await seen(platform, 'nodes', `on-${major}`)).version).toMatch(new RegExp(`^v${major}\\.`));
    }
    await deploy('any', '>=20');
    expect((await seen(platform, 'nodes', 'any')).version).toBe(process.version);
    expect((await deploy('old', '18.x')).body.code).toBe('NODE_UNAVAILABLE');
    expect((await deploy('odd', 'lts/*')).body.code).toBe('BAD_REQUEST');
  });

  it('an endless loop ends with the line on which it spins', async () => {
    await platform.deploy('plain', 'spin', 'module.exports = (cb) => {\n  for (;;) {}\n};', {
      filename: 'spin.js',
    });
    const problem = await platform.problem('plain', 'spin');
    expect(problem.code).toBe('EVENT_LOOP_BLOCKED');
    expect(problem.detail).toContain('spin.js:2');
  });

  it('a patched Node is rolled in under load: no request fails, everything runs on the new image', async () => {
    await platform.createTenant('busy');
    await platform.deploy(
      'busy',
      'look',
      'module.exports = async () => { await new Promise((r) => setTimeout(r, 5)); return process.pid; };',
    );
    await seen(platform, 'busy');
    const folder = mkdtempSync(join(tmpdir(), 'berth-patch-'));
    const { engine, architecture } = await requireEngine(engineHost);
    const before = await findCurrentImage(engine, ownNodeMajor);
    const load = startLoad(platform, 'busy', 8);
    try {
      const nodePath = join(folder, 'node');
      copyFileSync(process.execPath, nodePath);
      // Behind all that ELF names: another file, the same program.
      appendFileSync(nodePath, 'patched');
      const runtimeFile = await buildRuntimeBundle({ outDir: folder });
      const source = { nodePath, nodeVersion: ownNodeVersion, runtimeFile, architecture };
      expect(await loadImage(engine, describeImage(source))).toBe(true);
      await platform.must('POST', '/v1/rollout');
      const after = await findCurrentImage(engine, ownNodeMajor);
      expect(after?.id).not.toBe(before?.id);
      await expect.poll(() => imagesOf(platform, engine), { timeout: 60_000 }).not.toContain(before?.id);
      const { requests, failures } = await load.stop();
      expect(failures).toEqual([]);
      expect(requests).toBeGreaterThan(50);
    } finally {
      await load.stop();
      const own = { nodePath: process.execPath, nodeVersion: ownNodeVersion, architecture };
      await loadImage(
        engine,
        describeImage({ ...own, runtimeFile: await buildRuntimeBundle({ outDir: folder }) }),
      );
      engine.close();
      rmSync(folder, { recursive: true });
    }
  });

  it('what a killed platform left over is removed by the next start', async () => {
    expect(platform.sandboxes().size).toBeGreaterThan(0);
    await platform.end('SIGKILL');
    await platform.restart();
    expect(await seen(platform, 'plain')).toMatchObject({ version: process.version });
  });
});

describe.skipIf(reason !== null)('docker, frames on standard streams', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await TestPlatform.start({
      ...driverEnvironment('docker+runc'),
      BERTH_DOCKER_CHANNEL: 'stdio',
      ...pool,
    });
    await platform.createTenant('acme');
  });
  afterAll(() => platform.stop());

  it('bodies of megabytes go both ways', async () => {
    await platform.deploy('acme', 'echo', 'export default (request) => new Response(request.body)');
    const body = Buffer.alloc(6 * 1024 * 1024, 'berth');
    const response = await platform.call('acme', 'echo', { method: 'POST', body });
    expect(Buffer.from(await response.arrayBuffer()).equals(body)).toBe(true);
  });

  it('what code and its children write to descriptors 1 and 2 breaks nothing', async () => {
    await platform.deploy(
      'acme',
      'noisy',
      `const fs = require('fs');
       module.exports = async () => {
         fs.writeSync(1, 'no frame\\n'); fs.writeSync(2, 'an error\\n'); console.log('a line');
         require('child_process').spawnSync('node', ['-e', 'console.log("from a child")'], { stdio: 'inherit' });
         return 'fine';
       };`,
    );
    const response = await platform.call('acme', 'noisy');
    expect([response.status, await response.text()]).toEqual([200, '"fine"']);
    await expect
      .poll(async () => (await platform.logs('acme', 'noisy')).map(({ text }) => text))
      .toContain('a line');
  });
});

function startLoad(platform: TestPlatform, tenant: string, clients: number) {
  const over = new AbortController();
  let requests = 0;
  const failures: string[] = [];
  const client = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const response = await platform.call(tenant, 'look').catch((error: unknown) => String(error));
      requests += 1;
      if (typeof response === 'string') failures.push(response);
      else if (response.status !== 200) failures.push(`${response.status} ${await response.text()}`);
      else await response.text();
    }
  };
  const all = Promise.all(Array.from({ length: clients }, client));
  return {
    async stop(): Promise<{ requests: number; failures: string[] }> {
      over.abort();
      await all;
      return { requests, failures };
    },
  };
}

/** Of the live containers of the platform. */
async function imagesOf(
  platform: TestPlatform,
  engine: Awaited<ReturnType<typeof requireEngine>>['engine'],
): Promise<string[]> {
  const instance = readFileSync(join(platform.dataDir, 'cache/instance-id'), 'utf8');
  const filters = JSON.stringify({ label: [`berth.instance=${instance}`] });
  const containers = (await engine.call({ method: 'GET', path: '/containers/json', query: { filters } })) as {
    ImageID: string;
  }[];
  return containers.map(({ ImageID }) => ImageID);
}
