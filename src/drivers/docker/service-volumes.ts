/** The volumes of services: what each keeps, with the user that it belongs to, and the one that holds the keeper. */
import { type VolumeId, volumeIdSchema } from '../../contracts/ids.ts';
import type { VolumeSize } from '../driver.ts';
import type { DriverLog } from '../driver-log.ts';
import { identityOf } from '../process-identity.ts';
import type { UidRange } from '../uid-pool.ts';
import { containerLabels, ownerLabels } from './container-config.ts';
import type { EngineVolumes } from './engine-volumes.ts';
import type { KeeperFiles } from './keeper-files.ts';

/** Labels of a volume besides the instance's. */
const volumeLabels = { uid: 'berth.uid', keeper: 'berth.keeper' } as const;
const SIZES_KEPT_MS = 60_000;
const OWNER_MODE = 0o700;

export interface ServiceVolumesOptions {
  readonly volumes: EngineVolumes;
  readonly instance: string;
  /** An image of ours, to fill volumes through. */
  readonly image: string;
  /** The host's. */
  readonly uids: UidRange;
  /** What a user's number in a container is lower by. */
  readonly uidBase: number;
  /** Not root: all that connects to the platform has its own user. */
  readonly ownUid: number | null;
  readonly log: DriverLog;
}

export interface DataVolume {
  readonly name: string;
  /** Of all that the service does, for as long as the volume is there; the host's number. */
  readonly uid: number;
}

export class ServiceVolumes {
  readonly #options: ServiceVolumesOptions;
  #last: Promise<unknown> = Promise.resolve();
  #keeper: { readonly hash: string; readonly name: Promise<string> } | null = null;

  #sizes: { readonly at: number; readonly sizes: Promise<readonly VolumeSize[]> } | null = null;

  constructor(options: ServiceVolumesOptions) {
    this.#options = options;
  }

  /** Made when it is not there. One at a time, so that no two get the same user. */
  data(volume: VolumeId): Promise<DataVolume> {
    const made = this.#last.then(() => this.#data(volume));
    this.#last = made.catch(() => undefined);
    return made;
  }

  remove(volume: VolumeId): Promise<void> {
    return this.#options.volumes.remove(this.#nameOf(volume));
  }

  /** Of this installation's volumes. Asked again within a minute, or while it looks, it answers the same. */
  sizes(): Promise<readonly VolumeSize[]> {
    const present = this.#sizes;
    if (present !== null && performance.now() - present.at < SIZES_KEPT_MS) return present.sizes;
    const sizes = this.#lookAtSizes();
    this.#sizes = { at: performance.now(), sizes };
    sizes.catch(() => (this.#sizes = null));
    return sizes;
  }

  /** @returns the name of the volume that holds these files. Written at the first use after each start. */
  keeper(files: KeeperFiles): Promise<string> {
    if (this.#keeper?.hash !== files.hash) {
      const name = this.#fillKeeper(files).catch((error: unknown) => {
        this.#keeper = null;
        throw error;
      });
      this.#keeper = { hash: files.hash, name };
    }
    return this.#keeper.name;
  }

  /** No container has it any more. @throws EngineError */
  async removeKeeper(): Promise<void> {
    const name = await this.#keeper?.name.catch(() => null);
    this.#keeper = null;
    if (typeof name === 'string') await this.#options.volumes.remove(name);
  }

  /** Of the containers that fill: what a platform that was killed has left of them is removed as its sandboxes are. */
  get #filling(): Parameters<EngineVolumes['fill']>[1] {
    const { instance, image } = this.#options;
    return { image, labels: ownerLabels({ instance, platform: identityOf(process.pid)! }) };
  }

  #nameOf(volume: VolumeId | ''): string {
    return `berth-${this.#options.instance}-${volume}`;
  }

  async #lookAtSizes(): Promise<readonly VolumeSize[]> {
    const prefix = this.#nameOf('');
    const sized = [...(await this.#options.volumes.sizes())];
    return sized.flatMap(([name, bytes]) => {
      const volume = volumeIdSchema.safeParse(name.slice(prefix.length));
      return name.startsWith(prefix) && volume.success ? [{ volume: volume.data, bytes }] : [];
    });
  }

  async #data(volume: VolumeId): Promise<DataVolume> {
    const { volumes, instance, ownUid, uidBase } = this.#options;
    const name = this.#nameOf(volume);
    const all = await volumes.list(volumeLabels.uid);
    const present = all.find((one) => one.name === name);
    // Not the answer to `ensure` for one that is there: after its restart Docker 20.10 leaves the labels out of that.
    const { labels } = present ?? {
      labels: await volumes.ensure(name, {
        [containerLabels.instance]: instance,
        [volumeLabels.uid]: String(ownUid ?? this.#freeUid(all.map(uidOf))),
      }),
    };
    const uid = Number(labels[volumeLabels.uid]);
    if (!Number.isSafeInteger(uid)) throw new Error(`the engine does not tell whose the volume ${name} is`);
    // Each time: a start that was cut off may have left it without its owner.
    await volumes.fill(name, this.#filling, (folder) => [
      { path: folder, mode: OWNER_MODE, content: { kind: 'directory' }, owner: uid - uidBase },
    ]);
    return { name, uid };
  }

  /** @throws RangeError when there is none left */
  #freeUid(taken: readonly number[]): number {
    const { first, count } = this.#options.uids;
    const used = new Set(taken);
    for (let uid = first; uid < first + count; uid++) if (!used.has(uid)) return uid;
    throw new RangeError(`all ${count} users for services are taken`);
  }

  async #fillKeeper({ hash, entries }: KeeperFiles): Promise<string> {
    const { volumes, instance, log } = this.#options;
    const name = `berth-${instance}-keeper-${hash}`;
    const own = { [containerLabels.instance]: instance };
    await volumes.ensure(name, { ...own, [volumeLabels.keeper]: hash });
    await volumes.fill(name, this.#filling, entries);
    for (const one of await volumes.list(volumeLabels.keeper)) {
      if (one.name === name || one.labels[containerLabels.instance] !== instance) continue;
      await volumes.remove(one.name).catch((error: unknown) => {
        log.warn({ volume: one.name, err: error }, 'an old volume of the keeper was not removed');
      });
    }
    return name;
  }
}

function uidOf({ labels }: { readonly labels: Readonly<Record<string, string>> }): number {
  return Number(labels[volumeLabels.uid]);
}
