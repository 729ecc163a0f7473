/** The driver `jail`: sandboxes made with bubblewrap, without a daemon. The chain of a start is in `jail-process.ts`. */
import type { SandboxId } from '../../contracts/ids.ts';
import { nodeFlags } from '../../kernel/node-flags.ts';
import { allApplied } from '../all-applied.ts';
import { type Background, hostBackground } from '../background.ts';
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
  VolumeSize,
} from '../driver.ts';
import { type Holding, HoldingBook, newHolding, stopIfDoomed } from '../holding-book.ts';
import { locateFrames } from '../locate/locator.ts';
import { noServices } from '../no-services.ts';
import { identityOf, isAlive, signalProcess } from '../process-identity.ts';
import { recoverSandboxes } from '../recovery.ts';
import { type SandboxRecord, SandboxRecords } from '../sandbox-record.ts';
import { NODE_PATH, RUNTIME_PATH, sandboxEnvironment, SOCKET_PATH } from '../root/root-entries.ts';
import { groupNameOf, type JailGround, prepareGround, prepareRoot } from './jail-ground.ts';
import { DEFAULT_START_MS, type JailOptions, TOOLS_PATH } from './jail-options.ts';
import { startJail } from './jail-process.ts';
import { tmpOptions } from './mount-table.ts';
import { probeJail } from './jail-probe.ts';
import { JailSandbox } from './jail-sandbox.ts';
import { enterSandbox, remountTmp } from './namespace-entry.ts';

const INSPECTOR_PORT = 9229;
const DESTROY_MS = 9_000;

interface JailHolding extends Holding<JailSandbox> {
  cgroup: SandboxCgroup | null;
}

/** Starts nothing and touches nothing before the first call. */
export function createJailDriver(options: JailOptions): Driver {
  return new JailDriver(options);
}

class JailDriver implements Driver {
  readonly name = 'jail';
  readonly #options: JailOptions;
  readonly #records: SandboxRecords;
  readonly #holdings: HoldingBook<JailHolding>;
  readonly #background: Background;
  #ground: Promise<JailGround> | null = null;
  #facts: Promise<DriverFacts> | null = null;

  constructor(options: JailOptions) {
    this.#options = options;
    this.#records = new SandboxRecords(options.runDir);
    this.#background = hostBackground(options.log);
    this.#holdings = new HoldingBook({
      log: options.log,
      destroyMs: DESTROY_MS + (options.startMs ?? DEFAULT_START_MS),
      kill: ({ spec, sandbox }) => {
        this.#background.leave(spec.id);
        sandbox?.kill();
      },
      discard,
      release: (holding) => this.#release(holding),
    });
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
    this.#holdings.onExit = listener;
  }

  async create(spec: SandboxSpec, signal: AbortSignal): Promise<void> {
    const holding: JailHolding = { ...newHolding(spec, spec.limits), cgroup: null };
    await this.#holdings.make(holding, signal, {
      code: 'SANDBOX_START_FAILED',
      start: () => this.#start(spec, holding),
    });
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
    this.#background.leave(id);
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

  destroy(id: SandboxId): Promise<void> {
    return this.#holdings.destroy(id);
  }

  startService(): Promise<void> {
    return Promise.reject(noServices(this.name));
  }

  removeVolume(): Promise<void> {
    return Promise.resolve();
  }

  volumeSizes(): Promise<readonly VolumeSize[]> {
    return Promise.resolve([]);
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
    await this.#holdings.destroyAll();
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

  async #start(spec: SandboxSpec, holding: JailHolding): Promise<void> {
    const { id, channelDir, heapMb } = spec;
    const ground = await this.#prepare();
    holding.uid = (await ground.uids?.take()) ?? null;
    const record = recordOf(spec, ground);
    await this.#records.write(record);
    holding.cgroup = (await ground.cgroups.tree?.create(id, holding.limits)) ?? null;
    await giveChannel(channelDir, holding.uid);
    stopIfDoomed(holding);
    const process = await startJail({
      id,
      runDir: this.#options.runDir,
      rootDir: this.#options.rootDir,
      lowerDirs: ground.image.lowerDirs,
      launch: ground.launch,
      channelDir,
      limits: holding.limits,
      cgroup: holding.cgroup,
      uid: holding.uid,
      nodeArguments: [...nodeFlags(heapMb), RUNTIME_PATH, SOCKET_PATH],
    });
    holding.sandbox = new JailSandbox(id, process, holding.cgroup);
    await this.#records.write({ ...record, process: holding.sandbox.identity });
    stopIfDoomed(holding);
    await holding.sandbox.enter(this.#options.startMs ?? DEFAULT_START_MS);
    stopIfDoomed(holding);
    if (holding.cgroup !== null) this.#background.add(id, holding.cgroup);
  }

  async #release({ spec, uid }: JailHolding): Promise<void> {
    this.#background.leave(spec.id);
    const ground = await this.#prepare();
    await this.#records.remove(spec.id);
    if (uid !== null) ground.uids?.release(uid);
  }
}

async function discard({ sandbox, cgroup }: JailHolding): Promise<void> {
  sandbox?.kill();
  if (sandbox === null) await cgroup?.remove(DESTROY_MS);
  else await sandbox.ended();
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
