/** What holds for services on every engine and runtime, with the sandbox image as any image and Node as the program of the service. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { BerthError } from '../../src/contracts/errors.ts';
import { volumeIdSchema, type VolumeId } from '../../src/contracts/ids.ts';
import { serviceKindsSchema } from '../../src/contracts/services.ts';
import { listenForSandbox } from '../../src/drivers/channel-listener.ts';
import { createDockerDriver } from '../../src/drivers/docker/docker-driver.ts';
import { EngineClient } from '../../src/drivers/docker/engine-client.ts';
import { EngineVolumes } from '../../src/drivers/docker/engine-volumes.ts';
import type { Driver, ServiceSpec } from '../../src/drivers/driver.ts';
import { ownNodeMajor } from '../../src/drivers/facts.ts';
import { currentTagOf } from '../../src/drivers/image/sandbox-image.ts';
import { newSandboxId } from '../../src/drivers/new-sandbox-id.ts';
import { systemClock } from '../../src/kernel/clock.ts';
import { buildKeeperBundle } from '../../src/modules/runtime-bundle.ts';
import { ServiceChannel } from '../../src/services/service-channel.ts';
import type { DockerVariant } from './docker-engine.ts';
import { probeRuntime } from './driver-world.ts';

const MiB = 1024 * 1024;
const PORT = 7_000;
const never = new AbortController().signal;
/** Counts its starts in its volume, and what it is asked; when it shall stop it writes that down, too. */
const program = `
  const fs = require('fs');
  const add = (word) => fs.appendFileSync('/data/words', word + ' ');
  add('start'); process.on('SIGINT', () => { add('stop'); process.exit(0); });
  require('net').createServer((socket) => socket.end(fs.readFileSync('/data/words'))).listen(${PORT}, '127.0.0.1');`;
const kinds = serviceKindsSchema.parse({
  words: {
    image: currentTagOf(ownNodeMajor),
    port: PORT,
    dataPath: '/data',
    command: ['-e', program],
    stopSignal: 'SIGINT',
    url: 'x:{port}',
  },
  much: {
    image: currentTagOf(ownNodeMajor),
    port: PORT,
    dataPath: '/data',
    command: ['-e', `require('fs').writeFileSync('/data/much', Buffer.alloc(${3 * MiB})); ${program}`],
    stopSignal: 'SIGINT',
    url: 'x:{port}',
  },
  nothing: { image: 'berth-no-such-image:1', port: 1, dataPath: '/data', url: 'x:{port}' },
});
export interface ServiceEngine {
  /** Where the engine listens. */
  readonly host: string;
  readonly runtime: DockerVariant['runtime'];
}

/** Has to be called inside of a `describe`. */
export function describeServices({ host, runtime }: ServiceEngine): void {
  let dir: string;
  let keeperFile: string;
  let driver: Driver;
  let volumes: EngineVolumes;
  let engine: EngineClient;
  let volume: VolumeId;
  const instance = `services${process.pid}${runtime}`;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'berth-service-driver-'));
    keeperFile = await buildKeeperBundle({ outDir: dir });
    engine = new EngineClient(host);
    volumes = new EngineVolumes(engine);
  });
  afterAll(() => {
    engine.close();
    rmSync(dir, { recursive: true, force: true });
  });
  beforeEach(() => {
    driver = createDockerDriver({
      host,
      runtimes: { standard: runtime, hardened: null },
      channel: 'auto',
      instance,
      runDir: join(dir, 'run'),
      nodePaths: () => [process.execPath],
      runtimeFile: probeRuntime,
      services: { kinds, keeperFile },
      log: { info: () => undefined, warn: () => undefined },
    });
    volume = volumeIdSchema.parse(`v${String(Math.random()).slice(2).padEnd(20, '0').slice(0, 20)}`);
  });
  afterEach(async () => {
    await driver.close();
    for (const { name } of await volumes.list(`berth.instance=${instance}`)) await volumes.remove(name);
  });

  async function start(
    change: Partial<ServiceSpec> = {},
  ): Promise<{ id: ServiceSpec['id']; say(): Promise<string> }> {
    const id = newSandboxId();
    const channelDir = join(dir, id);
    const listener = await listenForSandbox(channelDir);
    const own = { kind: 'words', volume, isolation: 'standard', memoryBytes: 128 * MiB } as const;
    try {
      await driver.startService({ id, channelDir, ...own, ...change }, AbortSignal.timeout(30_000));
      const channel = new ServiceChannel({
        socket: await listener.connection,
        clock: systemClock,
        onPause: () => undefined,
      });
      const { output } = await channel.start({ env: {}, input: '', stopSignal: 'SIGINT' }, never);
      output.resume();
      return {
        id,
        async say() {
          for (;;) {
            if (channel.isClosed) throw new Error('the service has ended');
            const connection = await channel.connect(never).catch(() => null);
            if (connection !== null) return text(connection);
          }
        },
      };
    } finally {
      listener.close();
    }
  }
  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'nothing',
      (error: unknown) => (error as BerthError).code,
    );

  test('one ends in order when it is destroyed, and what it keeps is there for the next', async () => {
    const first = await start();
    expect(await first.say()).toBe('start ');
    await driver.destroy(first.id);
    expect(await driver.usage(first.id)).toBeNull();
    const second = await start();
    expect(await second.say()).toBe('start stop start ');
    await driver.destroy(second.id);
    await driver.removeVolume(volume);
    await driver.removeVolume(volume);
    expect(await (await start()).say()).toBe('start ');
  });

  test('what each keeps is told in bytes, of this installation alone', async () => {
    const first = await start();
    expect(await first.say()).toBe('start ');
    const other = volumeIdSchema.parse(`v${'y'.repeat(20)}`);
    const second = await start({ volume: other, kind: 'much' });
    await second.say();
    const sizes = new Map((await driver.volumeSizes()).map(({ volume: name, bytes }) => [name, bytes]));
    expect([...sizes.keys()].sort()).toEqual([volume, other].sort());
    expect(sizes.get(volume)).toBeLessThan(MiB);
    expect(sizes.get(other)).toBeGreaterThanOrEqual(3 * MiB);
    await driver.destroy(second.id);
    // Not looked for anew within a minute, and as much when it does not run.
    expect(await driver.volumeSizes()).toHaveLength(2);
  });

  test('a volume is in one container at a time, and has a user of its own', async () => {
    await start();
    expect(await codeOf(start())).toBe('SERVICE_START_FAILED');
    const other = volumeIdSchema.parse(`v${'z'.repeat(20)}`);
    expect(await (await start({ volume: other })).say()).toBe('start ');
    const all = await volumes.list(`berth.instance=${instance}`);
    const users = all.flatMap(({ labels }) => labels['berth.uid'] ?? []);
    expect(new Set(users).size).toBe(2);
    await expect(driver.removeVolume(other)).rejects.toThrow(/in use/);
  });

  test('without its image, or of no kind, there is none, and nothing is left', async () => {
    expect(await codeOf(start({ kind: 'nothing' }))).toBe('SERVICE_IMAGE_MISSING');
    expect(await codeOf(start({ kind: 'unheard-of' }))).toBe('SERVICE_START_FAILED');
    expect(await volumes.list(`berth.instance=${instance}`)).toEqual([]);
  });
}
