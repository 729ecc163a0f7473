/** Control groups version 2: one tree (kernel docs: admin-guide/cgroup-v2). */
import { join } from 'node:path';
import type { SandboxId } from '../../contracts/ids.ts';
import { allApplied } from '../all-applied.ts';
import type { SandboxLimits } from '../driver.ts';
import { CPU_PERIOD_MICROS, cpuQuotaMicros, OWN_PROCESSES } from './cgroup.ts';
import type { CgroupTree, CgroupUsage, Controller, SandboxCgroup } from './cgroup.ts';
import {
  BACKGROUND_FILE,
  emptyAndRemove,
  isRemoved,
  keyedNumber,
  makeGroup,
  numbersOf,
  readNow,
  readNumber,
  readText,
  setFile,
  setFileIfThere,
  setNowIfThere,
} from './cgroup-files.ts';

export class CgroupTreeV2 implements CgroupTree {
  readonly version = 2;
  /** Part of every group since Linux 5.2. */
  readonly canFreeze = true;
  readonly available: ReadonlySet<Controller>;
  readonly #base: string;

  /** @param base the group of all sandboxes, which has no process of its own and these controllers enabled for its children */
  constructor(base: string, available: ReadonlySet<Controller>) {
    this.#base = base;
    this.available = available;
  }

  async create(id: SandboxId, limits: SandboxLimits): Promise<SandboxCgroup> {
    const path = join(this.#base, id);
    await makeGroup(path);
    const group = new SandboxCgroupV2(path, this.available, OWN_PROCESSES);
    // One group is one sandbox: when the kernel kills for memory, it kills the whole of it.
    await setFileIfThere(path, 'memory.oom.group', 1);
    await setFileIfThere(path, 'memory.swap.max', 0);
    await group.setLimits(limits);
    return group;
  }

  pathsOf(id: SandboxId): readonly string[] {
    return [join(this.#base, id)];
  }

  async close(): Promise<void> {
    await isRemoved(this.#base);
  }
}

export class SandboxCgroupV2 implements SandboxCgroup {
  readonly paths: readonly string[];
  readonly canFreeze = true;
  readonly #path: string;
  readonly #available: ReadonlySet<Controller>;
  readonly #ownProcesses: number;

  /** @param ownProcesses of the group's processes, those that are none of the tenant's */
  constructor(path: string, available: ReadonlySet<Controller>, ownProcesses: number) {
    this.#path = path;
    this.paths = [path];
    this.#available = available;
    this.#ownProcesses = ownProcesses;
  }

  async add(pid: number): Promise<void> {
    await setFile(this.#path, 'cgroup.procs', pid);
  }

  /** Threads cannot move on their own here. */
  openDoors(): Promise<[]> {
    return Promise.resolve([]);
  }

  async setLimits(limits: SandboxLimits): Promise<void> {
    const cpuMax = `${cpuQuotaMicros(limits.cpuMillis)} ${CPU_PERIOD_MICROS}`;
    const changes = [];
    if (this.#available.has('pids'))
      changes.push(setFile(this.#path, 'pids.max', limits.pids + this.#ownProcesses));
    if (this.#available.has('cpu')) changes.push(setFile(this.#path, 'cpu.max', cpuMax));
    if (this.#available.has('memory')) changes.push(setFile(this.#path, 'memory.max', limits.memoryBytes));
    await allApplied(changes);
  }

  async setFrozen(isFrozen: boolean): Promise<void> {
    await setFileIfThere(this.#path, 'cgroup.freeze', isFrozen ? 1 : 0);
  }

  async usage(): Promise<CgroupUsage | null> {
    const [cpu, bytes, count] = await Promise.all([
      readText(this.#path, 'cpu.stat'),
      this.#available.has('memory') ? readNumber(this.#path, 'memory.current') : 0,
      this.#available.has('pids') ? readNumber(this.#path, 'pids.current') : 0,
    ]);
    if (cpu === null || bytes === null || count === null) return null;
    return {
      cpuMicros: keyedNumber(cpu, 'usage_usec'),
      memoryBytes: bytes,
      pids: Math.max(0, count - this.#ownProcesses),
    };
  }

  cpuMicros(): number | null {
    const text = readNow(this.#path, 'cpu.stat');
    return text === null ? null : keyedNumber(text, 'usage_usec');
  }

  threads(): readonly number[] {
    return numbersOf(readNow(this.#path, 'cgroup.threads'));
  }

  setBackground(isInBackground: boolean): boolean {
    return setNowIfThere(this.#path, BACKGROUND_FILE, isInBackground ? 1 : 0);
  }

  async oomKills(): Promise<number> {
    return keyedNumber(await readText(this.#path, 'memory.events'), 'oom_kill');
  }

  async remove(deadlineMs: number): Promise<void> {
    await emptyAndRemove(this.#path, deadlineMs);
  }
}
