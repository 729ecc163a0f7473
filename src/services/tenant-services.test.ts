/** Services over the real keeper and a real store; what the driver would put into a container is a process here. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { BerthError } from '../contracts/errors.ts';
import { serviceNameSchema, tenantIdSchema, volumeIdSchema } from '../contracts/ids.ts';
import { serviceKindsSchema, type ServiceKinds } from '../contracts/services.ts';
import { listenForSandbox } from '../drivers/channel-listener.ts';
import { newSandboxId } from '../drivers/new-sandbox-id.ts';
import { systemClock } from '../kernel/clock.ts';
import { buildKeeperBundle } from '../modules/runtime-bundle.ts';
import { MasterKey } from '../store/master-key.ts';
import { openSqliteStore } from '../store/sqlite/open-sqlite-store.ts';
import type { Store } from '../store/store.ts';
import { type ServiceEvent, ServiceRefusal, type Services } from './services.ts';
import { createServices } from './tenant-services.ts';
import { KeeperDriver } from './testing/keeper-driver.ts';
import { serviceRecord } from './testing/service-record.ts';

const [acme, globex] = [tenantIdSchema.parse('acme'), tenantIdSchema.parse('globex')];
const cache = serviceNameSchema.parse('cache');
const never = new AbortController().signal;
/** Says its environment and input when it is asked, ends when it is told to; a SIGTERM ends it in order. */
const program = `
  let input = ''; process.stdin.on('data', (text) => (input += text));
  console.log('it begins');
  process.on('SIGTERM', () => process.exit(0));
  require('net').createServer((socket) => socket.on('error', () => {}).on('data', (data) => {
    if (String(data) === 'flood') return socket.write(Buffer.alloc(8 * 1024 * 1024, 'x'));
    if (String(data) === 'die') { console.error('a last word'); process.exit(3); }
    socket.write(JSON.stringify({ word: process.env.WORD, input, echo: String(data) }));
  })).listen(Number(process.argv[1]), '127.0.0.1');`;

let keeperFile: string;
let outDir: string;
let dir: string;
let port: number;
let kinds: ServiceKinds;
let store: Store;
let driver: KeeperDriver;
let services: Services;
let events: string[];
let warnings: { facts: object; text: string }[];

beforeAll(async () => {
  outDir = mkdtempSync(join(tmpdir(), 'berth-keeper-'));
  keeperFile = await buildKeeperBundle({ outDir });
});
afterAll(() => rmSync(outDir, { recursive: true }));

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'berth-services-'));
  port = await freePort();
  kinds = serviceKindsSchema.parse({
    words: {
      image: 'words',
      port,
      dataPath: '/data',
      env: { WORD: '{password}' },
      input: '{halfMemoryBytes}',
      url: 'words://{password}@{host}:{port}',
    },
  });
  const log = { info: () => undefined, warn: note, error: note };
  store = await openSqliteStore({
    dir,
    masterKey: new MasterKey(Buffer.alloc(32, 1)),
    clock: systemClock,
    log,
  });
  for (const id of [acme, globex]) await store.createTenant({ id, name: id, limits: {} });
  driver = new KeeperDriver({ keeperFile, port, program });
  warnings = [];
  events = [];
  services = open();
});
afterEach(async () => {
  await services.close();
  await store.close();
  rmSync(dir, { recursive: true });
});

function note(facts: object, text: string): void {
  warnings.push({ facts, text });
}

function open(options: { readonly kinds?: ServiceKinds } = {}): Services {
  const log = { info: () => undefined, warn: note, error: note };
  const parts = { driver, store, listen: listenForSandbox, newId: newSandboxId, clock: systemClock, log };
  const observe = ({ kind }: ServiceEvent): void => void events.push(kind);
  return createServices({ ...parts, runDir: dir, kinds: options.kinds ?? kinds, observe });
}

async function say(text: string, tenant = acme): Promise<unknown> {
  const connection = await services.connect({ tenant, service: cache, port }, never);
  try {
    connection.write(text);
    const [answer] = await new Promise<[Buffer]>((resolve, reject) => {
      connection.once('data', (data: Buffer) => resolve([data]));
      connection.once('error', reject).once('close', () => reject(new Error('it was closed')));
    });
    return JSON.parse(answer.toString()) as unknown;
  } finally {
    connection.destroy();
  }
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof ServiceRefusal || error instanceof BerthError) return error.code;
  return String(error);
}

const stateOf = async (): Promise<string | undefined> => (await services.list(acme))[0]?.state;

describe('a service', () => {
  it('runs with its password and input when it is there, and is its tenant’s alone', async () => {
    const { state } = await services.create(serviceRecord(), 1);
    expect(state).toBe('running');
    expect(driver.started).toMatchObject([{ kind: 'words', isolation: 'standard', memoryBytes: 1_000 }]);
    expect(await say('hello')).toEqual({ word: 'secret', input: '500', echo: 'hello' });
    expect(await refusal(say('hello', globex))).toBe('ENOTFOUND');
    const call = { tenant: acme, service: 'cache', port: port + 1 };
    expect(await refusal(services.connect(call, never))).toBe('ECONNREFUSED');
    expect(await services.secretsOf(acme)).toEqual({
      CACHE_URL: `words://secret@cache.service.berth.internal:${port}`,
      CACHE_HOST: 'cache.service.berth.internal',
      CACHE_PORT: String(port),
      CACHE_PASSWORD: 'secret',
    });
    expect(await services.secretsOf(globex)).toEqual({});
  });

  it('that does not start leaves nothing, and what it wrote is told', async () => {
    driver.program = [process.execPath, '-e', 'console.error("no such folder"); process.exit(7)'];
    const error = await services.create(serviceRecord(), 1).catch((reason: unknown) => reason);
    expect(String(error)).toMatch(/"cache" did not start: it wrote "no such folder\n?.*exit code 7"/s);
    expect(driver.removedVolumes).toEqual([serviceRecord().volume]);
    expect([await services.list(acme), driver.live.size, events]).toEqual([[], 0, ['start-failed']]);
    driver.program = [process.execPath, '-e', program];
    await services.create(serviceRecord(), 1);
    expect(events).toEqual(['start-failed', 'started']);
  });

  it('that cannot be made is refused with the reason', async () => {
    driver.problem = new BerthError('SERVICE_IMAGE_MISSING');
    const error = await services.create(serviceRecord(), 1).catch((reason: unknown) => reason);
    expect(String(error)).toMatch(/does not have the image "words"/);
    driver.problem = new BerthError('SERVICES_UNAVAILABLE');
    expect(await refusal(services.create(serviceRecord(), 1))).toBe('SERVICES_UNAVAILABLE');
    expect(await services.list(acme)).toEqual([]);
  });

  it('is not held up by connections that nobody reads', async () => {
    await services.create(serviceRecord(), 1);
    const unread = await Promise.all(
      Array.from({ length: 20 }, () => services.connect({ tenant: acme, service: cache, port }, never)),
    );
    for (const connection of unread) connection.write('flood');
    await vi.waitFor(
      () => expect(unread.every(({ readableLength }) => readableLength > 0)).toBe(true),
      10_000,
    );
    expect(await say('through')).toMatchObject({ echo: 'through' });
    for (const connection of unread) connection.destroy();
    expect(await say('after')).toMatchObject({ echo: 'after' });
  });

  it('that does not get ready can be stopped, and does not hold up the end of the platform', async () => {
    driver.program = [process.execPath, '-e', 'setInterval(() => {}, 1000)'];
    const creating = services.create(serviceRecord(), 1).catch((error: unknown) => error);
    await vi.waitFor(() => expect(driver.live.size).toBe(1), 10_000);
    const started = performance.now();
    await services.close();
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(await creating).toBeInstanceOf(BerthError);
    expect([driver.live.size, events]).toEqual([0, []]);
  });

  it('stops and starts again, and who connects meanwhile is refused', async () => {
    await services.create(serviceRecord(), 1);
    expect(services.counts()).toMatchObject({ running: 1, stopped: 0 });
    expect((await services.stop(acme, cache)).state).toBe('stopped');
    expect(services.counts()).toMatchObject({ running: 0, stopped: 1 });
    expect(driver.live.size).toBe(0);
    expect(await refusal(say('x'))).toBe('ECONNREFUSED');
    expect((await services.start(acme, cache)).state).toBe('running');
    expect(await say('again')).toMatchObject({ echo: 'again' });
    expect([driver.removedVolumes, events]).toEqual([[], ['started', 'started']]);
    expect(new Set(driver.started.map(({ volume }) => volume)).size).toBe(1);
  });

  it('that ends by itself is started again, and the log has its last words', async () => {
    await services.create(serviceRecord(), 1);
    await say('die').catch(() => undefined);
    await vi.waitFor(async () => expect(await say('alive')).toMatchObject({ echo: 'alive' }), {
      timeout: 20_000,
      interval: 50,
    });
    expect(driver.started).toHaveLength(2);
    expect(events).toEqual(['started', 'ended', 'started']);
    expect(JSON.stringify(warnings)).toContain('a last word');
  });

  it('rests while its tenant is suspended', async () => {
    await services.create(serviceRecord(), 1);
    await store.updateTenant(acme, { state: 'suspended' });
    await services.settle(acme);
    expect([await stateOf(), driver.live.size]).toEqual(['stopped', 0]);
    await store.updateTenant(acme, { state: 'active', isolation: 'hardened' });
    await services.settle(acme);
    await vi.waitFor(async () => expect(await stateOf()).toBe('running'), { timeout: 20_000 });
    expect(driver.started.at(-1)?.isolation).toBe('hardened');
  });

  it('is deleted with its volume; its name is free then', async () => {
    await services.create(serviceRecord(), 1);
    await services.remove(acme, cache);
    expect([driver.live.size, driver.removedVolumes]).toEqual([0, [serviceRecord().volume]]);
    expect(await refusal(services.remove(acme, cache))).toBe('NOT_FOUND');
    expect(await services.secretsOf(acme)).toEqual({});
    await services.create(serviceRecord({ password: 'another' }), 1);
    expect(await say('x')).toMatchObject({ word: 'another' });
  });
});

describe('after a restart', () => {
  it('what should run runs, and who connects while it starts waits for it', async () => {
    await services.create(serviceRecord(), 1);
    await services.close();
    expect(driver.live.size).toBe(0);
    driver.sizes = [{ volume: serviceRecord().volume, bytes: 7 }];
    services = open();
    await services.open();
    expect(await say('here')).toMatchObject({ word: 'secret', echo: 'here' });
    expect(await services.list(acme)).toMatchObject([{ diskBytes: 7 }]);
    expect(services.disk()).toEqual({ all: 7, largest: 7 });
  });

  it('what was stopped stays so, and what was being deleted is deleted', async () => {
    await services.create(serviceRecord(), 2);
    await services.stop(acme, cache);
    const doomed = serviceRecord({
      name: serviceNameSchema.parse('doomed'),
      volume: volumeIdSchema.parse(`v${'c'.repeat(20)}`),
    });
    await store.addService(doomed, 2);
    await store.setServiceWanted(acme, doomed.name, 'deleting');
    await services.close();
    services = open();
    await services.open();
    await vi.waitFor(() => expect(driver.removedVolumes).toEqual([doomed.volume]));
    await vi.waitFor(async () =>
      expect((await services.list(acme)).map(({ state }) => state)).toEqual(['stopped']),
    );
    expect(driver.live.size).toBe(0);
  });

  it('one whose kind the operator took away keeps what it has, does not run, and says why', async () => {
    await services.create(serviceRecord(), 1);
    await services.close();
    services = open({ kinds: {} });
    await services.open();
    expect(await services.list(acme)).toMatchObject([
      { state: 'failed', reason: expect.stringContaining('"words"') },
    ]);
    expect(services.counts()).toMatchObject({ failed: 1 });
    expect(await refusal(services.start(acme, cache))).toBe('SERVICE_KIND_UNKNOWN');
    expect(driver.removedVolumes).toEqual([]);
    await services.remove(acme, cache);
    expect(services.counts()).toMatchObject({ failed: 0 });
    expect(driver.removedVolumes).toEqual([serviceRecord().volume]);
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port: free } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return free;
}
