/** The driver `process`: a plain child process, for development on hosts without the jail. It isolates nothing, and says so. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { SandboxId } from '../../contracts/ids.ts';
import { removeTree } from '../../kernel/tree-removal.ts';
import { type Driver, type DriverFacts, isolations } from '../driver.ts';
import type { SandboxExit, SandboxSpec, SandboxUsage, StackFrame, VolumeSize } from '../driver.ts';
import { ownNodeVersion } from '../facts.ts';
import { type Holding, HoldingBook, newHolding, stopIfDoomed } from '../holding-book.ts';
import { noServices } from '../no-services.ts';
import { identityOf } from '../process-identity.ts';
import { recoverSandboxes } from '../recovery.ts';
import { SandboxRecords } from '../sandbox-record.ts';
import type { ProcessOptions } from './process-options.ts';
import { ProcessSandbox, startProcess } from './process-sandbox.ts';
import { killStrays } from './stray-processes.ts';

const DESTROY_MS = 9_000;
const GAP =
  'the driver "process" is for development: tenants’ code runs as an ordinary process of the platform’s user';

/** Starts nothing and touches nothing before the first call. */
export function createProcessDriver(options: ProcessOptions): Driver {
  return new ProcessDriver(options);
}

class ProcessDriver implements Driver {
  readonly name = 'process';
  readonly #options: ProcessOptions;
  readonly #records: SandboxRecords;
  readonly #holdings: HoldingBook<Holding<ProcessSandbox>>;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.#records = new SandboxRecords(options.runDir);
    this.#holdings = new HoldingBook({
      log: options.log,
      destroyMs: DESTROY_MS,
      kill: ({ sandbox }) => sandbox?.kill(),
      discard: async ({ sandbox }) => {
        sandbox?.kill();
        await sandbox?.ended();
      },
      release: ({ spec }) => this.#release(spec.id),
    });
  }

  facts(): Promise<DriverFacts> {
    const gaps = new Map(isolations.map((isolation) => [isolation, GAP]));
    const runtime = { name: 'none', hasOwnKernel: false, gaps, fixedLimits: [], canFreeze: false };
    return Promise.resolve({
      driver: 'process',
      isUsable: true,
      reason: null,
      gaps,
      cgroupVersion: null,
      runtimes: { standard: runtime, hardened: null },
      nodeVersions: [ownNodeVersion],
    });
  }

  /** A process is started from the file that is there then. */
  refresh(): Promise<DriverFacts> {
    return this.facts();
  }

  onExit(listener: (exit: SandboxExit) => void): void {
    this.#holdings.onExit = listener;
  }

  async create(spec: SandboxSpec, signal: AbortSignal): Promise<void> {
    const holding = newHolding(spec, spec.limits);
    await this.#holdings.make(holding, signal, {
      code: 'SANDBOX_START_FAILED',
      start: () => this.#start(spec, holding),
    });
  }

  /** There are no limits to change. */
  update(): Promise<void> {
    return Promise.resolve();
  }

  /** Nor a freezer. */
  freeze(): Promise<void> {
    return Promise.resolve();
  }

  thaw(): Promise<void> {
    return Promise.resolve();
  }

  usage(id: SandboxId): Promise<SandboxUsage | null> {
    return Promise.resolve(this.#holdings.get(id)?.sandbox?.usage() ?? null);
  }

  async locate(id: SandboxId): Promise<readonly StackFrame[]> {
    return (await this.#holdings.get(id)?.sandbox?.locate(this.#options)) ?? [];
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
    const { runDir, log } = this.#options;
    return await recoverSandboxes({ records: this.#records, runDir, groupName: 'none', log });
  }

  async close(): Promise<void> {
    await this.#holdings.destroyAll();
    await this.#records.close();
  }

  async #start(spec: SandboxSpec, holding: Holding<ProcessSandbox>): Promise<void> {
    const tmpDir = this.#tmpDir(spec.id);
    const { id, channelDir } = spec;
    const platform = identityOf(process.pid)!;
    const record = { version: 1, id, platform, process: null, channelDir, cgroups: [], tmpDir } as const;
    await this.#records.prepare();
    await this.#records.write({ ...record, cgroups: [] });
    await mkdir(tmpDir, { mode: 0o700, recursive: true });
    stopIfDoomed(holding);
    holding.sandbox = await startProcess(this.#options, spec, tmpDir);
    await this.#records.write({ ...record, cgroups: [], process: holding.sandbox.identity });
    stopIfDoomed(holding);
  }

  async #release(id: SandboxId): Promise<void> {
    const tmpDir = this.#tmpDir(id);
    await killStrays(tmpDir);
    await removeTree(this.#options.runDir, tmpDir);
    await this.#records.remove(id);
  }

  #tmpDir(id: SandboxId): string {
    return join(this.#options.runDir, `tmp-${id}`);
  }
}
