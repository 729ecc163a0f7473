/** A driver whose services are processes of this host: the real keeper, and programs of the tests. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { BerthError } from '../../contracts/errors.ts';
import type { SandboxId, VolumeId } from '../../contracts/ids.ts';
import type { Driver, ServiceSpec, VolumeSize } from '../../drivers/driver.ts';

export type ServiceDriver = Pick<Driver, 'startService' | 'destroy' | 'removeVolume' | 'volumeSizes'>;

export class KeeperDriver implements ServiceDriver {
  readonly started: ServiceSpec[] = [];
  readonly live = new Map<SandboxId, ChildProcess>();
  readonly removedVolumes: VolumeId[] = [];
  sizes: readonly VolumeSize[] = [];
  /** Why no service can be made, while it is set. */
  problem: BerthError | null = null;
  /** Of the next ones; told the port by its last argument. */
  program: readonly string[];
  readonly #keeperFile: string;
  readonly #port: number;

  constructor(options: { readonly keeperFile: string; readonly port: number; readonly program: string }) {
    this.#keeperFile = options.keeperFile;
    this.#port = options.port;
    this.program = [process.execPath, '-e', options.program];
  }

  startService(spec: ServiceSpec): Promise<void> {
    if (this.problem !== null) return Promise.reject(this.problem);
    this.started.push(spec);
    const socket = join(spec.channelDir, 'channel.sock');
    const port = String(this.#port);
    const words = [this.#keeperFile, socket, port, '--', ...this.program, port];
    const child = spawn(process.execPath, words, { stdio: 'ignore' });
    this.live.set(spec.id, child);
    child.once('exit', () => this.live.delete(spec.id));
    return Promise.resolve();
  }

  async destroy(id: SandboxId): Promise<void> {
    const child = this.live.get(id);
    if (child === undefined) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await gone;
  }

  removeVolume(volume: VolumeId): Promise<void> {
    this.removedVolumes.push(volume);
    return Promise.resolve();
  }

  volumeSizes(): Promise<readonly VolumeSize[]> {
    return Promise.resolve(this.sizes);
  }
}
