/**
 * A driver without processes, for tests of what is built on drivers. Creates succeed at once unless told otherwise;
 * a test plays the kernel: `exit` ends a sandbox, `usages` says what it burns, `failCreates` breaks the host.
 */
import { BerthError } from '../../contracts/errors.ts';
import type { SandboxId, VolumeId } from '../../contracts/ids.ts';
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
} from '../../drivers/driver.ts';
import { factsOf } from '../../drivers/testing/facts.ts';

export class FakeDriver implements Driver {
  readonly name = 'process';
  readonly live = new Map<SandboxId, SandboxSpec>();
  readonly created: SandboxSpec[] = [];
  readonly destroyed: SandboxId[] = [];
  readonly updates: { readonly id: SandboxId; readonly limits: SandboxLimits }[] = [];
  /** What `usage` answers; a function so that it can grow with the test's clock. */
  usageOf: (id: SandboxId) => SandboxUsage | null = () => ({
    cpuMicros: 0,
    memoryBytes: 1,
    pids: 1,
    mainThread: 'running',
    mainThreadMicros: null,
    starvedMicros: 0,
  });
  frames: readonly StackFrame[] = [];
  locateCalls = 0;
  usageCalls = 0;
  /** Creates that fail from now on. */
  failCreates = 0;
  failUpdates = false;
  /** Updates wait for this. */
  updatesAfter: Promise<void> = Promise.resolve();
  failDestroys = 0;
  /** What was asked of the freezer, in order. */
  readonly frost: string[] = [];
  failFreezes = false;
  /** Creates wait for `letCreate` while this is set. */
  isHeld = false;
  readonly #held: (() => void)[] = [];
  #onExit: (exit: SandboxExit) => void = () => undefined;
  onCreated: (spec: SandboxSpec) => void = () => undefined;

  readonly services: ServiceSpec[] = [];
  readonly removedVolumes: VolumeId[] = [];
  sizes: readonly VolumeSize[] = [];
  /** Limits that its sandboxes keep for life. */
  fixedLimits: readonly (keyof SandboxLimits)[] = [];
  refreshed = 0;

  facts(): Promise<DriverFacts> {
    return Promise.resolve(factsOf({ driver: this.name, fixedLimits: this.fixedLimits }));
  }

  refresh(): Promise<DriverFacts> {
    this.refreshed += 1;
    return this.facts();
  }

  startService(spec: ServiceSpec): Promise<void> {
    this.services.push(spec);
    return Promise.resolve();
  }

  removeVolume(volume: VolumeId): Promise<void> {
    this.removedVolumes.push(volume);
    return Promise.resolve();
  }

  volumeSizes(): Promise<readonly VolumeSize[]> {
    return Promise.resolve(this.sizes);
  }

  async create(spec: SandboxSpec, signal: AbortSignal): Promise<void> {
    this.created.push(spec);
    if (this.isHeld)
      await new Promise<void>((resolve) => {
        this.#held.push(resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    if (signal.aborted) throw new BerthError('SANDBOX_START_FAILED');
    if (this.failCreates > 0) {
      this.failCreates -= 1;
      throw new BerthError('SANDBOX_START_FAILED');
    }
    this.live.set(spec.id, spec);
    this.onCreated(spec);
  }

  letCreate(): void {
    this.isHeld = false;
    for (const resolve of this.#held.splice(0)) resolve();
  }

  async update(id: SandboxId, limits: SandboxLimits): Promise<void> {
    this.updates.push({ id, limits });
    await this.updatesAfter;
    if (this.failUpdates) throw new Error('no such cgroup');
  }

  async freeze(id: SandboxId): Promise<void> {
    this.frost.push(`freeze ${id}`);
    if (this.failFreezes) throw new Error('no such cgroup');
  }

  async thaw(id: SandboxId): Promise<void> {
    this.frost.push(`thaw ${id}`);
    if (this.failFreezes) throw new Error('no such cgroup');
  }

  usage(id: SandboxId): Promise<SandboxUsage | null> {
    this.usageCalls += 1;
    return Promise.resolve(this.usageOf(id));
  }

  locate(): Promise<readonly StackFrame[]> {
    this.locateCalls += 1;
    return Promise.resolve(this.frames);
  }

  destroy(id: SandboxId): Promise<void> {
    if (this.failDestroys > 0) {
      this.failDestroys -= 1;
      return Promise.reject(new Error('busy'));
    }
    this.destroyed.push(id);
    if (this.live.has(id)) this.exit(id, { signal: 'SIGKILL' });
    return Promise.resolve();
  }

  onExit(listener: (exit: SandboxExit) => void): void {
    this.#onExit = listener;
  }

  recover(): Promise<readonly SandboxId[]> {
    return Promise.resolve([]);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The sandbox's processes end. */
  exit(id: SandboxId, how: Partial<Omit<SandboxExit, 'id'>>): void {
    this.live.delete(id);
    this.#onExit({ id, code: null, signal: null, outOfMemory: false, stderrTail: '', ...how });
  }
}
