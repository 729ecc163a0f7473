/** The driver `jail`: sandboxes made with bubblewrap, without a daemon. The chain of a start is in `jail-process.ts`. */
import { BerthError } from '../../contracts/errors.ts';
import type { SandboxId } from '../../contracts/ids.ts';
import { systemClock } from '../../kernel/clock.ts';
import { withDeadline } from '../../kernel/deadline.ts';
import { allApplied } from '../all-applied.ts';
import { giveChannel } from '../channel-folder.ts';
import type { SandboxCgroup } from '../cgroups/cgroup.ts';
import type {
  Driver,
  DriverFacts,
  SandboxExit,
  SandboxLimits,
  SandboxSpec,
  SandboxUsage,
  StackFrame,
} from '../driver.ts';
import { locateFrames } from '../locate/locator.ts';
import { noServices } from '../no-services.ts';
import { identityOf, isAlive, signalProcess } from '../process-identity.ts';
import { recoverSandboxes } from '../recovery.ts';
import { type SandboxRecord, SandboxRecords } from '../sandbox-record.ts';
import { NODE_PATH, RUNTIME_PATH, sandboxEnvironment, SOCKET_PATH } from '../root/root-entries.ts';
import { groupNameOf, type JailGround, prepareGround, prepareRoot } from './jail-ground.ts';
import { DEFAULT_START_MS, type JailOptions, TOOLS_PATH } from './jail-options.ts';
import { startJail, tmpOptions } from './jail-process.ts';
import { probeJail } from './jail-probe.ts';
import { JailSandbox } from './jail-sandbox.ts';
import { enterSandbox, remountTmp } from './namespace-entry.ts';

const INSPECTOR_PORT = 9229;
const DESTROY_MS = 9_000;

/** What is there of one sandbox; filled as it is made, emptied by `#end`. */
interface Holding {
  readonly spec: SandboxSpec;
  limits: SandboxLimits;
  uid: number | null;
  cgroup: SandboxCgroup | null;
  sandbox: JailSandbox | null;
  /** Settles when nothing of it is left; a new one after each failure. */
  gone: PromiseWithResolvers<void>;
  isStuck: boolean;
  isDoomed: boolean;
  isCreated: boolean;
}

/** Starts nothing and touches nothing before the first call. */
export function createJailDriver(options: JailOptions): Driver {
  return new JailDriver(options);
}

class JailDriver implements Driver {
  readonly name = 'jail';
  readonly #options: JailOptions;
  readonly #records: SandboxRecords;
  readonly #holdings = new Map<SandboxId, Holding>();
  #ground: Promise<JailGround> | null = null;
  #facts: Promise<DriverFacts> | null = null;
  #listener: (exit: SandboxExit) => void = () => undefined;

  constructor(options: JailOptions) {
    this.#options = options;
    this.#records = new SandboxRecords(options.runDir);
  }

  facts(): Promise<DriverFacts> {
    this.#facts ??= probeJail(this.#options, () => this.#prepare());
    return this.#facts;
  }

  /** A Node or a library that was replaced on the host makes another root image; the old one serves who has it. */
  async refresh(): Promise<DriverFacts> {
    const ground = await this.#prepare();
    const root = await prepareRoot(this.#options);
    ground.leaveImages();
    this.#ground = Promise.resolve({ ...ground, ...root });
    return await this.facts();
  }

  onExit(listener: (exit: SandboxExit) => void): void {
    this.#listener = listener;
  }

  async create(spec: SandboxSpec, signal: AbortSignal): Promise<void> {
    if (this.#holdings.has(spec.id))
      throw new BerthError('SANDBOX_START_FAILED', {}, { cause: 'the id is in use' });
    const holding = newHolding(spec);
    this.#holdings.set(spec.id, holding);
    const abort = (): void => this.#doom(holding);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    try {
      await this.#start(holding);
      holding.isCreated = true;
      void this.#watch(holding);
    } catch (error) {
      const said = holding.sandbox?.stderrText;
      await this.#abandon(holding);
      // One that was given up, as all that start when the platform stops, is no fault, unless it said something itself.
      if (!holding.isDoomed || (said ?? '') !== '')
        this.#options.log.warn({ sandbox: spec.id, err: error, said }, 'a sandbox could not be started');
      throw new BerthError('SANDBOX_START_FAILED', {}, { cause: error });
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async update(id: SandboxId, limits: SandboxLimits): Promise<void> {
    const holding = this.#holdings.get(id);
    if (holding === undefined) return;
    const { limits: before } = holding;
    holding.limits = limits;
    const outermost = holding.sandbox?.identity;
    if (outermost == null) return;
    const changes = [holding.sandbox!.setLimits(limits)];
    if (tmpOptions(before) !== tmpOptions(limits))
      changes.push(remountTmp({ outermost, uid: holding.uid, limits }));
    try {
      await allApplied(changes);
    } catch (error) {
      // One that ended meanwhile needs no limits.
      if (holding.isDoomed || !isAlive(outermost)) return;
      holding.limits = before;
      throw error;
    }
  }

  async freeze(id: SandboxId): Promise<void> {
    await this.#holdings.get(id)?.sandbox?.freeze();
  }

  async thaw(id: SandboxId): Promise<void> {
    await this.#holdings.get(id)?.sandbox?.thaw();
  }

  async usage(id: SandboxId): Promise<SandboxUsage | null> {
    const holding = this.#holdings.get(id);
    return holding?.isCreated ? await holding.sandbox!.usage() : null;
  }

  async locate(id: SandboxId): Promise<readonly StackFrame[]> {
    const holding = this.#holdings.get(id);
    const outermost = holding?.sandbox?.identity;
    const main = await holding?.sandbox?.mainProcess();
    if (holding === undefined || outermost == null || main == null) return [];
    if (!signalProcess(main, 'SIGUSR1')) return [];
    return await locateFrames({
      command: enterSandbox(outermost, main, NODE_PATH),
      port: INSPECTOR_PORT,
      env: { ...sandboxEnvironment(false), PATH: TOOLS_PATH },
      uid: holding.uid,
      runtimeFile: RUNTIME_PATH,
    });
  }

  async destroy(id: SandboxId): Promise<void> {
    const holding = this.#holdings.get(id);
    if (holding === undefined) return;
    this.#doom(holding);
    if (holding.isStuck) void this.#watch(holding);
    await withDeadline(
      systemClock,
      DESTROY_MS + (this.#options.startMs ?? DEFAULT_START_MS),
      holding.gone.promise,
    );
  }

  startService(): Promise<void> {
    return Promise.reject(noServices(this.name));
  }

  removeVolume(): Promise<void> {
    return Promise.resolve();
  }

  async recover(): Promise<readonly SandboxId[]> {
    await this.#prepare();
    return await recoverSandboxes({
      records: this.#records,
      runDir: this.#options.runDir,
      groupName: groupNameOf(this.#options.runDir),
      log: this.#options.log,
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#holdings.keys()].map((id) => this.destroy(id)));
    const ground = await this.#ground?.catch(() => null);
    await ground?.cgroups.tree?.close();
    ground?.uids?.close();
    ground?.leaveImages();
    await this.#records.close();
    this.#ground = null;
  }

  #prepare(): Promise<JailGround> {
    this.#ground ??= prepareGround(this.#options).then(async (ground) => {
      await this.#records.prepare();
      return ground;
    });
    return this.#ground;
  }

  async #start(holding: Holding): Promise<void> {
    const { id, channelDir, heapMb } = holding.spec;
    const ground = await this.#prepare();
    holding.uid = (await ground.uids?.take()) ?? null;
    const record = recordOf(holding.spec, ground);
    await this.#records.write(record);
    holding.cgroup = (await ground.cgroups.tree?.create(id, holding.limits)) ?? null;
    await giveChannel(channelDir, holding.uid);
    stopIfDoomed(holding);
    const process = await startJail({
      rootDir: this.#options.rootDir,
      lowerDirs: ground.image.lowerDirs,
      launch: ground.launch,
      channelDir,
      limits: holding.limits,
      uid: holding.uid,
      nodeArguments: nodeArguments(this.#options, heapMb),
    });
    holding.sandbox = new JailSandbox(id, process, holding.cgroup);
    await this.#records.write({ ...record, process: holding.sandbox.identity });
    stopIfDoomed(holding);
    await holding.sandbox.enter(this.#options.startMs ?? DEFAULT_START_MS);
    stopIfDoomed(holding);
  }

  /** From the moment it is created: waits for its end, tells of it, once. */
  async #watch(holding: Holding): Promise<void> {
    holding.isStuck = false;
    try {
      const exit = await holding.sandbox!.ended();
      await this.#release(holding);
      if (holding.isCreated) this.#listener(exit);
      holding.gone.resolve();
    } catch (error) {
      this.#markStuck(holding, error);
    }
  }

  /** Something of it survives: it stays in the books, `destroy` tells its caller, and may be called again. */
  #markStuck(holding: Holding, error: unknown): void {
    this.#options.log.warn({ sandbox: holding.spec.id, err: error }, 'a sandbox could not be removed');
    holding.gone.reject(error);
    holding.gone = newGone();
    holding.isStuck = true;
  }

  /** It never was created: nothing may be left, nobody is told. */
  async #abandon(holding: Holding): Promise<void> {
    try {
      holding.sandbox?.kill();
      if (holding.sandbox === null) await holding.cgroup?.remove(DESTROY_MS);
      else await holding.sandbox.ended();
      await this.#release(holding);
      holding.gone.resolve();
    } catch (error) {
      this.#markStuck(holding, error);
    }
  }

  async #release(holding: Holding): Promise<void> {
    const ground = await this.#prepare();
    await this.#records.remove(holding.spec.id);
    if (holding.uid !== null) ground.uids?.release(holding.uid);
    this.#holdings.delete(holding.spec.id);
  }

  #doom(holding: Holding): void {
    holding.isDoomed = true;
    holding.sandbox?.kill();
  }
}

function newGone(): PromiseWithResolvers<void> {
  const gone = Promise.withResolvers<void>();
  gone.promise.catch(() => undefined);
  return gone;
}

function newHolding(spec: SandboxSpec): Holding {
  return {
    spec,
    limits: spec.limits,
    uid: null,
    cgroup: null,
    sandbox: null,
    gone: newGone(),
    isStuck: false,
    isDoomed: false,
    isCreated: false,
  };
}

function stopIfDoomed(holding: Holding): void {
  if (holding.isDoomed) throw new Error('destroyed while it was being made');
}

function recordOf(spec: SandboxSpec, ground: JailGround): SandboxRecord {
  return {
    version: 1,
    id: spec.id,
    platform: identityOf(process.pid)!,
    process: null,
    channelDir: spec.channelDir,
    cgroups: [...(ground.cgroups.tree?.pathsOf(spec.id) ?? [])],
    tmpDir: null,
  };
}

function nodeArguments(options: JailOptions, heapMb: number): string[] {
  return [`--max-old-space-size=${heapMb}`, ...(options.nodeFlags ?? []), RUNTIME_PATH, SOCKET_PATH];
}
