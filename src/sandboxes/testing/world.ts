/** Everything around `createSandboxes`, played by a test. */
import { mkdtempSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROTOCOL_VERSION } from '../../contracts/frames.ts';
import { asSandboxId, type SandboxId } from '../../contracts/ids.ts';
import type { FunctionName, RevisionId, TenantId } from '../../contracts/ids.ts';
import { defaultLimits, type Limits } from '../../contracts/limits.ts';
import type { LogRecord } from '../../contracts/model.ts';
import type { BerthError } from '../../contracts/errors.ts';
import { FakeClock, settled } from '../../kernel/testing/fake-clock.ts';
import type { SandboxKind } from '../../drivers/driver.ts';
import { ownKind } from '../../drivers/facts.ts';
import { factsOf, type TestFacts } from '../../drivers/testing/facts.ts';
import { createSandboxes, type SandboxesOptions } from '../local-sandboxes.ts';
import type { InvocationEvents, Lease, Runnable, Sandboxes } from '../sandboxes.ts';
import type { ChannelListener } from '../../drivers/channel-listener.ts';
import type { OpenChannelOptions, SandboxEvent } from '../services.ts';
import { noEgress } from './no-egress.ts';
import { FakeChannel, type FakeInvocation } from './fake-channel.ts';
import { FakeDriver } from './fake-driver.ts';

export type WorldOptions = Partial<
  Pick<SandboxesOptions, 'pool' | 'maxSandboxes'> & { limits: Partial<Limits>; facts: TestFacts }
>;

/** Sandboxes on a fake host whose runtimes greet, load and answer pings at once. */
export class World {
  readonly driver = new FakeDriver();
  readonly clock = new FakeClock();
  /** One for each sandbox that connected, in order. */
  readonly channels: FakeChannel[] = [];
  readonly idOf = new Map<FakeChannel, SandboxId>();
  readonly logs: LogRecord[] = [];
  readonly platformLog: string[] = [];
  readonly events: SandboxEvent[] = [];
  /** How functions that load are called. */
  form: 'context' | 'fetch' = 'context';
  loadsByItself = true;
  greetsByItself = true;
  readonly sandboxes: Sandboxes;
  readonly #runDir = mkdtempSync(join(tmpdir(), 'berth-sandboxes-'));
  readonly #idOfSocket = new Map<Socket, SandboxId>();
  readonly #connects = new Map<string, (socket: Socket) => void>();

  constructor(options: WorldOptions = {}) {
    this.driver.onCreated = (spec) => {
      const socket = new PassThrough() as unknown as Socket;
      this.#idOfSocket.set(socket, spec.id);
      this.#connects.get(spec.channelDir)?.(socket);
    };
    const note = (_: object, text: string): void => void this.platformLog.push(text);
    let count = 0;
    this.sandboxes = createSandboxes({
      driver: this.driver,
      facts: factsOf({ driver: 'process', ...options.facts }),
      clock: this.clock,
      runDir: this.#runDir,
      listen: (dir) => this.#listen(dir),
      openChannel: (channelOptions) => this.#openChannel(channelOptions),
      egress: noEgress,
      newId: () => asSandboxId(`s${String((count += 1)).padStart(12, '0')}`),
      onLog: (record) => void this.logs.push(record),
      onEvent: (event) => void this.events.push(event),
      log: { debug: note, info: note, warn: note, error: note },
      defaultLimits: () => ({ ...defaultLimits, ...options.limits }),
      pool: options.pool ?? { minBlank: 2, maxBlank: 2, startConcurrency: 4 },
      maxSandboxes: options.maxSandboxes ?? 100,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.driver.letCreate();
    await this.#drained();
    rmSync(this.#runDir, { recursive: true, force: true });
  }

  async #drained(): Promise<void> {
    const progress = { isOver: false };
    const drained = this.sandboxes.drain(0).finally(() => (progress.isOver = true));
    for (let step = 0; step < 100 && !progress.isOver; step++) await this.clock.advance(500);
    await drained;
  }

  #listen(dir: string): Promise<ChannelListener> {
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    promise.catch(() => undefined);
    this.#connects.set(dir, resolve);
    return Promise.resolve({ connection: promise, close: () => reject(new Error('closed')) });
  }

  #openChannel(options: OpenChannelOptions): FakeChannel {
    const channel = new FakeChannel(options);
    channel.onLoad = () => {
      if (this.loadsByItself) channel.events.onLoaded({ ok: true, form: this.form });
    };
    this.channels.push(channel);
    const id = this.#idOfSocket.get(options.socket);
    if (id !== undefined) this.idOf.set(channel, id);
    if (this.greetsByItself)
      queueMicrotask(() => channel.events.onHello({ version: PROTOCOL_VERSION, node: 'v24.0.0' }));
    return channel;
  }
}

/** A world whose pool is full. */
export async function makeWorld(options: WorldOptions = {}): Promise<World> {
  const world = new World(options);
  await settled();
  return world;
}

export interface TestRunnable extends Runnable {
  /** Change it to change the tenant's limits. */
  current: Limits;
  currentKind: SandboxKind;
  loads: number;
}

export function makeRunnable(key: string, limits: Partial<Limits> = {}, tenant = 'acme'): TestRunnable {
  const runnable: TestRunnable = {
    key,
    tenant: tenant as TenantId,
    fn: key as FunctionName,
    revision: `r${'0'.repeat(24)}` as RevisionId,
    current: { ...defaultLimits, ...limits },
    loads: 0,
    currentKind: ownKind,
    limits: () => runnable.current,
    egress: () => 'public',
    kind: () => runnable.currentKind,
    load: () => {
      runnable.loads += 1;
      return Promise.resolve(Buffer.from(`code of ${key}`));
    },
  };
  return runnable;
}

export interface Heard extends InvocationEvents {
  readonly calls: string[];
  error: BerthError | null;
}

export function listen(): Heard {
  const heard: Heard = {
    calls: [],
    error: null,
    onResponse: () => void heard.calls.push('response'),
    onData: () => void heard.calls.push('data'),
    onWritable: () => void heard.calls.push('writable'),
    onDone: () => void heard.calls.push('done'),
    onFailed: (error) => {
      heard.error = error;
      heard.calls.push(`failed ${error.code}`);
    },
  };
  return heard;
}

export const request = {
  head: {
    method: 'GET',
    url: '/',
    basePath: '',
    remoteAddress: '127.0.0.1',
    scheme: 'http' as const,
    invocation: 'i1',
    headers: [],
  },
  body: Buffer.alloc(0),
  isEnd: true,
  isUpgrade: false,
};

/** Acquires a place and starts an invocation in it. */
export async function invoke(world: World, runnable: Runnable): Promise<Started> {
  const acquired = world.sandboxes.acquire(runnable, AbortSignal.timeout(10_000));
  acquired.catch(() => undefined);
  await settled();
  const lease = await acquired;
  const heard = listen();
  const invocation = lease.invoke(request, heard);
  const channel = world.channels.find(({ opened }) =>
    [...opened].some(({ events }) => (events as unknown) === invocation),
  )!;
  const inner = [...channel.opened].find(({ events }) => (events as unknown) === invocation)!;
  return { lease, heard, invocation, channel, inner, id: world.idOf.get(channel)! };
}

export interface Started {
  readonly lease: Lease;
  readonly heard: Heard;
  readonly invocation: ReturnType<Lease['invoke']>;
  readonly channel: FakeChannel;
  /** The channel's side of it: `inner.done()` is the runtime's Done. */
  readonly inner: FakeInvocation;
  readonly id: SandboxId;
}

/** What a promise is rejected with; a promise that is kept fails the test. */
export function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: unknown) => error,
  );
}
