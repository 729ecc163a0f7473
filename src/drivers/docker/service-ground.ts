/** What services of a Docker driver stand on: definitions, images, volumes. Prepared at the first of them. */
import { BerthError } from '../../contracts/errors.ts';
import type { VolumeId } from '../../contracts/ids.ts';
import type { ServiceSpec, VolumeSize } from '../driver.ts';
import { ownNodeMajor } from '../facts.ts';
import { currentTagOf } from '../image/sandbox-image.ts';
import { identityOf } from '../process-identity.ts';
import { type DockerGround, requireArchitecture, uidRangesOf } from './docker-ground.ts';
import type { DockerOptions } from './docker-options.ts';
import type { ProbedRuntime } from './docker-probe.ts';
import { findProgram } from './engine-images.ts';
import { EngineVolumes } from './engine-volumes.ts';
import { type KeeperFiles, keeperFiles } from './keeper-files.ts';
import type { ServicePlan } from './service-config.ts';
import { ServiceVolumes } from './service-volumes.ts';

export class ServiceGround {
  readonly #options: DockerOptions;
  #volumes: ServiceVolumes | null = null;
  #keeper: KeeperFiles | null = null;

  constructor(options: DockerOptions) {
    this.#options = options;
  }

  /** Makes the volume where there is none. @throws BerthError SERVICE_IMAGE_MISSING, SERVICE_START_FAILED */
  async plan(spec: ServiceSpec, ground: DockerGround, runtime: ProbedRuntime): Promise<ServicePlan> {
    const definition = this.#options.services.kinds[spec.kind];
    if (definition === undefined) throw new Error(`no kind of service is called "${spec.kind}"`);
    const program = await findProgram(ground.engine, definition.image);
    if (program === null) throw new BerthError('SERVICE_IMAGE_MISSING', { image: definition.image });
    const volumes = this.#volumesOn(ground);
    const files = this.#keeperFiles(ground);
    const keeper = { volume: await volumes.keeper(files), loader: files.loader };
    const { name, uid } = await volumes.data(spec.volume);
    return {
      spec,
      definition,
      program,
      keeper,
      volume: name,
      uid,
      uidBase: ground.uidBase,
      way: runtime.canMountSocket ? 'socket' : 'stdio',
      runtime: runtime.name,
      hasOwnKernel: runtime.hasOwnKernel,
      instance: this.#options.instance,
      platform: identityOf(process.pid)!,
    };
  }

  removeVolume(volume: VolumeId, ground: DockerGround): Promise<void> {
    return this.#volumesOn(ground).remove(volume);
  }

  volumeSizes(ground: DockerGround): Promise<readonly VolumeSize[]> {
    return this.#volumesOn(ground).sizes();
  }

  /** What services keep stays. @throws EngineError */
  async close(): Promise<void> {
    await this.#volumes?.removeKeeper();
    this.#volumes = null;
  }

  #volumesOn({ engine, ownUid, uidBase }: DockerGround): ServiceVolumes {
    this.#volumes ??= new ServiceVolumes({
      volumes: new EngineVolumes(engine),
      instance: this.#options.instance,
      image: currentTagOf(ownNodeMajor),
      uids: uidRangesOf(uidBase).services,
      uidBase,
      // Where users are mapped the platform's own has no number in a container.
      ownUid: uidBase === 0 ? ownUid : null,
      log: this.#options.log,
    });
    return this.#volumes;
  }

  #keeperFiles({ info }: DockerGround): KeeperFiles {
    const { nodePaths, services } = this.#options;
    const { keeperFile } = services;
    const architecture = requireArchitecture(info);
    this.#keeper ??= keeperFiles({ nodePath: nodePaths()[0]!, keeperFile, architecture });
    return this.#keeper;
  }
}
