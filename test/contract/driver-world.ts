/** What tests of drivers stand on: a run directory, sandboxes with the probe runtime, conditions with a deadline. */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asSandboxId, type SandboxId } from '../../src/contracts/ids.ts';
import type {
  Driver,
  SandboxExit,
  SandboxKind,
  SandboxLimits,
  SandboxSpec,
} from '../../src/drivers/driver.ts';
import { ownKind } from '../../src/drivers/facts.ts';
import type { DriverLog } from '../../src/drivers/driver-log.ts';

export const probeRuntime = join(import.meta.dirname, '../fixtures/drivers/probe-runtime.cjs');
const MiB = 1024 * 1024;
const WAIT_MS = 10_000;

export const testLimits: SandboxLimits = {
  memoryBytes: 192 * MiB,
  cpuMillis: 1_000,
  pids: 40,
  tmpBytes: 2 * MiB,
  tmpInodes: 64,
};

export interface DriverPlace {
  readonly runDir: string;
  readonly rootDir: string;
  readonly nodePath: string;
  readonly runtimeFile: string;
  readonly log: DriverLog;
}

/** Waits until `look` gives something other than false, null or undefined. */
export async function eventually<Value>(
  what: string,
  look: () => Value | Promise<Value>,
  ms = WAIT_MS,
): Promise<NonNullable<Value>> {
  const end = performance.now() + ms;
  for (;;) {
    const value = await look();
    if (value !== false && value !== null && value !== undefined) return value as NonNullable<Value>;
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function newSandboxId(): SandboxId {
  return asSandboxId(`s${randomBytes(8).toString('hex')}`);
}

/** The root image is prepared once for all tests: it is a cache. */
const sharedRoot = join(tmpdir(), `berth-test-root-${process.geteuid?.()}`);

export class DriverWorld {
  /** Open to the uids of sandboxes, as a run directory is. */
  readonly dir = mkdtempSync(join(tmpdir(), 'berth-driver-'));
  readonly runDir = join(this.dir, 'run');
  /** Where the directories of channels are. */
  readonly channelsDir = join(this.runDir, 'channels');
  readonly exits: SandboxExit[] = [];
  readonly warnings: string[] = [];
  readonly driver: Driver;
  readonly kind: SandboxKind;
  readonly #probes: Probe[] = [];

  constructor(makeDriver: (place: DriverPlace) => Driver, kind: SandboxKind = ownKind) {
    this.kind = kind;
    this.driver = makeDriver(this.place());
    this.driver.onExit((exit) => this.exits.push(exit));
  }

  place(): DriverPlace {
    chmodSync(this.dir, 0o711);
    mkdirSync(this.channelsDir, { recursive: true });
    return {
      runDir: this.runDir,
      rootDir: sharedRoot,
      nodePath: process.execPath,
      runtimeFile: probeRuntime,
      log: {
        info: () => undefined,
        warn: (facts, message) =>
          this.warnings.push(`${message} ${JSON.stringify(facts)} ${String(facts['err'])}`),
      },
    };
  }

  /** A sandbox whose runtime has connected. */
  async start(limits: Partial<SandboxLimits> = {}, heapMb = 96): Promise<Probe> {
    const probe = await this.prepare();
    const spec = { ...this.specOf(probe), limits: { ...testLimits, ...limits }, heapMb };
    await this.driver.create(spec, AbortSignal.timeout(WAIT_MS));
    await probe.connected();
    return probe;
  }

  specOf({ id, dir }: Probe): SandboxSpec {
    return { id, channelDir: dir, limits: testLimits, heapMb: 64, kind: this.kind };
  }

  /** What the driver has on record of it; null when there is nothing. */
  recordOf(id: string): { readonly process: { readonly pid: number }; readonly cgroups: string[] } | null {
    const path = join(this.runDir, 'records', `${id}.json`);
    return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null;
  }

  /** A channel directory that listens; no sandbox yet. */
  async prepare(): Promise<Probe> {
    const id = newSandboxId();
    const probe = new Probe(id, join(this.channelsDir, id));
    await probe.listen();
    this.#probes.push(probe);
    return probe;
  }

  async exitOf(id: SandboxId, ms = WAIT_MS): Promise<SandboxExit> {
    return await eventually(`${id} ends`, () => this.exits.find((exit) => exit.id === id), ms);
  }

  async close(): Promise<void> {
    await this.driver.close();
    for (const probe of this.#probes) probe.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export interface Failure {
  readonly code: string | null;
  readonly message: string;
}

type Answer = { id: number; value?: unknown; error?: Failure };

/** The host's end of a sandbox with the probe runtime. */
export class Probe {
  readonly id: SandboxId;
  readonly dir: string;
  readonly #server: Server = createServer((socket) => this.#accept(socket));
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>();
  #socket: Socket | null = null;
  #text = '';
  #count = 0;

  constructor(id: SandboxId, dir: string) {
    this.id = id;
    this.dir = dir;
  }

  async listen(): Promise<void> {
    mkdirSync(this.dir, { mode: 0o700 });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(join(this.dir, 'channel.sock'), resolve);
    });
  }

  async connected(): Promise<void> {
    await eventually('the runtime connects', () => this.#socket);
  }

  /** Runs statements inside, `return` gives the value. */
  async run<Value = unknown>(code: string): Promise<Value> {
    const { value, error } = await this.#order({ code });
    if (error !== undefined) throw Object.assign(new Error(error.message), { code: error.code });
    return value as Value;
  }

  /** Runs statements that must throw. @returns its code */
  async failure(code: string): Promise<string | null> {
    const { value, error } = await this.#order({ code });
    if (error === undefined) throw new Error(`it succeeded: ${JSON.stringify(value)}`);
    return error.code ?? error.message;
  }

  /** Starts a script and does not wait. */
  send(code: string, file: string): void {
    this.#order({ code, file }).catch(() => undefined);
  }

  close(): void {
    this.#socket?.destroy();
    this.#server.close();
  }

  async #order(order: { code: string; file?: string }): Promise<Answer> {
    const waiting = Promise.withResolvers<Answer>();
    this.#count += 1;
    this.#waiting.set(this.#count, waiting);
    this.#socket!.write(`${JSON.stringify({ id: this.#count, ...order })}\n`);
    return await waiting.promise;
  }

  #accept(socket: Socket): void {
    this.#socket = socket;
    socket.on('error', () => undefined);
    socket.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the sandbox is gone'));
    });
    socket.on('data', (chunk) => {
      this.#text += String(chunk);
      for (let end = this.#text.indexOf('\n'); end !== -1; end = this.#text.indexOf('\n')) {
        const answer = JSON.parse(this.#text.slice(0, end)) as Answer;
        this.#text = this.#text.slice(end + 1);
        this.#waiting.get(answer.id)?.resolve(answer);
        this.#waiting.delete(answer.id);
      }
    });
  }
}
