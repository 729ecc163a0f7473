/** The driver `docker`: sandboxes as containers of a Docker Engine, with any OCI runtime that the engine has. */
import { BerthError } from '../../contracts/errors.ts';
import type { SandboxId, VolumeId } from '../../contracts/ids.ts';
import type { IsolationTier } from '../../contracts/isolations.ts';
import { nodeFlags } from '../../kernel/node-flags.ts';
import { type Background, hostBackground } from '../background.ts';
import { giveChannel } from '../channel-folder.ts';
import type {
  Driver,
  DriverFacts,
  SandboxExit,
  SandboxLimits,
  SandboxSpec,
  SandboxUsage,
  ServiceSpec,
  StackFrame,
  VolumeSize,
} from '../driver.ts';
import { type Holding, HoldingBook, later, newHolding, stopIfDoomed } from '../holding-book.ts';
import { identityOf } from '../process-identity.ts';
import { recoverSandboxes } from '../recovery.ts';
import { type SandboxRecord, SandboxRecords } from '../sandbox-record.ts';
import { containerConfig, type ContainerPlan, nodeCommand } from './container-config.ts';
import { type ContainerParts, ContainerSandbox } from './container-sandbox.ts';
import {
  type DockerGround,
  prepareGround,
  prepareImages,
  requireArchitecture,
  versionsOf,
} from './docker-ground.ts';
import type { DockerOptions } from './docker-options.ts';
import { type ProbedEngine, probeEngine, type ProbedRuntime, tryImage } from './docker-probe.ts';
import { pruneImages } from './image-pruning.ts';
import { removeLeftovers } from './leftovers.ts';
import { SERVICE_GRACE_SECONDS, serviceConfig, serviceLimits } from './service-config.ts';
import { ServiceGround } from './service-ground.ts';

const DESTROY_MS = 20_000;

/** What there is of one sandbox or service. */
interface ContainerHolding extends Holding<ContainerSandbox> {
  /** Of a service. */
  readonly volume: VolumeId | null;
  /** The kill failed, and comes again. */
  isKillDue: boolean;
}

/** What a holding is made of. */
interface Made extends ContainerParts {
  readonly uid: number;
}

/** Starts nothing and touches nothing before the first call. */
export function createDockerDriver(options: DockerOptions): Driver {
  return new DockerDriver(options);
}

class DockerDriver implements Driver {
  readonly name = 'docker';
  readonly #options: DockerOptions;
  readonly #records: SandboxRecords;
  readonly #holdings: HoldingBook<ContainerHolding>;
  readonly #services: ServiceGround;
  readonly #background: Background;
  #ground: Promise<DockerGround> | null = null;
  #probed: Promise<ProbedEngine> | null = null;

  constructor(options: DockerOptions) {
    this.#options = options;
    this.#records = new SandboxRecords(options.runDir);
    this.#services = new ServiceGround(options);
    this.#background = hostBackground(options.log);
    this.#holdings = new HoldingBook({
      log: options.log,
      destroyMs: DESTROY_MS,
      kill: (holding) => this.#kill(holding),
      discard: async ({ sandbox }) => await sandbox?.remove(),
      release: (holding) => this.#release(holding),
    });
  }

  async facts(): Promise<DriverFacts> {
    return (await this.#probe()).facts;
  }

  /** The current images of the engine, whoever built them. One that does not start is not taken: then nothing has changed. */
  async refresh(): Promise<DriverFacts> {
    const ground = await this.#prepare();
    const architecture = requireArchitecture(ground.info);
    const images = await prepareImages(this.#options, ground.engine, architecture);
    for (const [major, image] of images)
      if (ground.images.get(major)?.id !== image.id) await tryImage(this.#options, ground, image);
    this.#ground = Promise.resolve({ ...ground, images });
    await this.#prune(ground);
    const probed = await this.#probe();
    const facts = { ...probed.facts, nodeVersions: versionsOf(images) };
    this.#probed = Promise.resolve({ ...probed, facts });
    return facts;
  }

  onExit(listener: (exit: SandboxExit) => void): void {
    this.#holdings.onExit = listener;
  }

  async create(spec: SandboxSpec, signal: AbortSignal): Promise<void> {
    const holding = newContainerHolding(spec, spec.limits);
    await this.#holdings.make(holding, signal, {
      code: 'SANDBOX_START_FAILED',
      start: () =>
        this.#start(holding, async (ground) => {
          const plan = await this.#plan(spec, holding, ground);
          return { basis: plan, config: containerConfig(plan), graceSeconds: null, uid: plan.uid };
        }),
    });
  }

  async startService(spec: ServiceSpec, signal: AbortSignal): Promise<void> {
    const isInUse = [...this.#holdings.values()].some(({ volume }) => volume === spec.volume);
    if (isInUse) throw new BerthError('SERVICE_START_FAILED', {}, { cause: 'its volume is in use' });
    const limits = { memoryBytes: spec.memoryBytes, ...serviceLimits };
    const holding = newContainerHolding(spec, limits, spec.volume);
    await this.#holdings.make(holding, signal, {
      code: 'SERVICE_START_FAILED',
      start: () =>
        this.#start(holding, async (ground) => {
          const plan = await this.#services.plan(spec, ground, await this.#runtime(spec.isolation));
          const config = serviceConfig(plan);
          return { basis: plan, config, graceSeconds: SERVICE_GRACE_SECONDS, uid: plan.uid };
        }),
    });
  }

  async removeVolume(volume: VolumeId): Promise<void> {
    await this.#services.removeVolume(volume, await this.#prepare());
  }

  async volumeSizes(): Promise<readonly VolumeSize[]> {
    return await this.#services.volumeSizes(await this.#prepare());
  }

  async update(id: SandboxId, limits: SandboxLimits): Promise<void> {
    const holding = this.#holdings.get(id);
    if (holding === undefined) return;
    const { limits: before, sandbox } = holding;
    holding.limits = limits;
    if (sandbox === null) return;
    try {
      await sandbox.setLimits(limits);
      if (before.tmpBytes !== limits.tmpBytes || before.tmpInodes !== limits.tmpInodes)
        throw new Error('the limits of /tmp cannot be changed in a container that runs');
    } catch (error) {
      // One that ended meanwhile needs no limits.
      if (holding.isDoomed || this.#holdings.get(id) === undefined) return;
      holding.limits = { ...limits, tmpBytes: before.tmpBytes, tmpInodes: before.tmpInodes };
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
    return holding?.isCreated === true ? await holding.sandbox!.usage() : null;
  }

  async locate(id: SandboxId): Promise<readonly StackFrame[]> {
    this.#background.leave(id);
    const holding = this.#holdings.get(id);
    if (holding?.isCreated !== true) return [];
    return await holding.sandbox!.locate().catch((error: unknown) => {
      this.#options.log.info({ sandbox: id, err: error }, 'where a sandbox spins was not found');
      return [];
    });
  }

  destroy(id: SandboxId): Promise<void> {
    return this.#holdings.destroy(id);
  }

  async recover(): Promise<readonly SandboxId[]> {
    const { containers } = await this.#prepare();
    const { instance, runDir, log } = this.#options;
    const removed = await removeLeftovers({ containers, instance, log });
    const recorded = await recoverSandboxes({ records: this.#records, runDir, groupName: 'none', log });
    return [...new Set([...removed, ...recorded])];
  }

  async close(): Promise<void> {
    try {
      await this.#holdings.destroyAll();
    } finally {
      await this.#closeGround();
    }
  }

  async #closeGround(): Promise<void> {
    await this.#services.close().catch((error: unknown) => {
      this.#options.log.warn({ err: error }, 'the volume of the keeper was not removed');
    });
    const ground = await this.#ground?.catch(() => null);
    ground?.uids.close();
    ground?.engine.close();
    await this.#records.close();
    this.#ground = null;
    this.#probed = null;
  }

  /** What is left over costs disk, no more. */
  async #prune({ engine }: DockerGround): Promise<void> {
    try {
      const images = await pruneImages(engine);
      if (images.length > 0) this.#options.log.info({ images }, 'old sandbox images were removed');
    } catch (error) {
      this.#options.log.warn({ err: error }, 'old sandbox images were not removed');
    }
  }

  #prepare(): Promise<DockerGround> {
    this.#ground ??= prepareGround(this.#options)
      .then(async (ground) => {
        await this.#records.prepare();
        return ground;
      })
      .catch((error: unknown) => {
        this.#ground = null;
        throw error;
      });
    return this.#ground;
  }

  #probe(): Promise<ProbedEngine> {
    this.#probed ??= probeEngine(this.#options, () => this.#prepare());
    return this.#probed;
  }

  async #start(holding: ContainerHolding, planOf: (ground: DockerGround) => Promise<Made>): Promise<void> {
    const { id, channelDir } = holding.spec;
    const ground = await this.#prepare();
    const made = await planOf(ground);
    const platform = identityOf(process.pid)!;
    const record: SandboxRecord = {
      version: 1,
      id,
      platform,
      process: null,
      channelDir,
      cgroups: [],
      tmpDir: null,
    };
    await this.#records.write(record);
    const isGiven = made.basis.way === 'socket' && ground.ownUid === null;
    if (isGiven) await giveChannel(channelDir, made.uid);
    stopIfDoomed(holding);
    holding.sandbox = new ContainerSandbox(ground.containers, made);
    await holding.sandbox.start();
    // A service has time to end when the platform is killed: nobody but its keeper ends it then, see removeLeftovers.
    const view = made.graceSeconds === null ? holding.sandbox.view : null;
    if (view !== null && !made.basis.hasOwnKernel) this.#background.add(id, view.group);
    await this.#records.write({ ...record, process: view?.first ?? null });
    stopIfDoomed(holding);
  }

  async #runtime(isolation: IsolationTier): Promise<ProbedRuntime> {
    const runtime = (await this.#probe()).runtimes[isolation];
    if (runtime === null) throw new Error(`no runtime gives the isolation "${isolation}"`);
    return runtime;
  }

  async #plan(spec: SandboxSpec, holding: ContainerHolding, ground: DockerGround): Promise<ContainerPlan> {
    const { limits } = holding;
    const { kind } = spec;
    const runtime = await this.#runtime(kind.isolation);
    const image = ground.images.get(kind.nodeMajor);
    if (image === undefined) throw new Error(`there is no image of Node ${kind.nodeMajor}`);
    const way = runtime.canMountSocket ? 'socket' : 'stdio';
    const isShared = way === 'socket' && ground.ownUid !== null;
    if (!isShared) holding.uid = await ground.uids.take();
    return {
      spec: { id: spec.id, channelDir: spec.channelDir, limits },
      image: image.id,
      runtime: runtime.name,
      hasOwnKernel: runtime.hasOwnKernel,
      way,
      uid: holding.uid ?? ground.ownUid!,
      uidBase: ground.uidBase,
      seccomp: ground.seccomp,
      command: nodeCommand(way, nodeFlags(spec.heapMb)),
      instance: this.#options.instance,
      platform: identityOf(process.pid)!,
    };
  }

  async #release({ spec, uid }: ContainerHolding): Promise<void> {
    this.#background.leave(spec.id);
    await this.#records.remove(spec.id);
    if (uid !== null) (await this.#ground)?.uids.release(uid);
  }

  /** One that is being made sees that it is doomed, and is removed. */
  #kill(holding: ContainerHolding): void {
    if (!holding.isCreated || holding.isKillDue) return;
    const { id } = holding.spec;
    this.#background.leave(id);
    holding.sandbox?.kill().catch((error: unknown) => {
      this.#holdings.tellOnce(holding, error, 'a sandbox was not killed; it is tried again');
      holding.isKillDue = true;
      later(() => {
        holding.isKillDue = false;
        if (this.#holdings.get(id) === holding) this.#kill(holding);
      });
    });
  }
}

function newContainerHolding(
  spec: Holding['spec'],
  limits: SandboxLimits,
  volume: VolumeId | null = null,
): ContainerHolding {
  return { ...newHolding(spec, limits), volume, isKillDue: false };
}
