/** Control groups version 1: one hierarchy for each controller (kernel docs: admin-guide/cgroup-v1). */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { SandboxId } from '../../contracts/ids.ts';
import { allApplied } from '../all-applied.ts';
import type { SandboxLimits } from '../driver.ts';
import { CPU_PERIOD_MICROS, cpuQuotaMicros, OWN_PROCESSES } from './cgroup.ts';
import type { CgroupTree, CgroupUsage, Controller, SandboxCgroup } from './cgroup.ts';
import {
  BACKGROUND_FILE,
  emptyAndRemove,
  FREEZER_FILE,
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
  THAWED,
} from './cgroup-files.ts';

/** Directories of the group of all sandboxes, for each hierarchy that this host has; several may be the same one. */
export interface V1Bases {
  readonly memory: string | null;
  readonly cpu: string | null;
  readonly cpuacct: string | null;
  readonly pids: string | null;
  readonly freezer: string | null;
}

export class CgroupTreeV1 implements CgroupTree {
  readonly version = 1;
  readonly available: ReadonlySet<Controller>;
  readonly canFreeze: boolean;
  readonly #bases: V1Bases;

  constructor(bases: V1Bases) {
    this.#bases = bases;
    this.canFreeze = bases.freezer !== null;
    this.available = new Set((['memory', 'cpu', 'pids'] as const).filter((name) => bases[name] !== null));
  }

  async create(id: SandboxId, limits: SandboxLimits): Promise<SandboxCgroup> {
    const group = new SandboxCgroupV1(this.#groupsOf(id), OWN_PROCESSES);
    await Promise.all(group.paths.map(makeGroup));
    await group.setLimits(limits);
    return group;
  }

  pathsOf(id: SandboxId): readonly string[] {
    return new SandboxCgroupV1(this.#groupsOf(id), OWN_PROCESSES).paths;
  }

  async close(): Promise<void> {
    for (const base of distinct(this.#bases)) await isRemoved(base);
  }

  #groupsOf(id: SandboxId): V1Bases {
    const at = (base: string | null): string | null => (base === null ? null : join(base, id));
    const { memory, cpu, cpuacct, pids, freezer } = this.#bases;
    return { memory: at(memory), cpu: at(cpu), cpuacct: at(cpuacct), pids: at(pids), freezer: at(freezer) };
  }
}

export class SandboxCgroupV1 implements SandboxCgroup {
  readonly paths: readonly string[];
  readonly canFreeze: boolean;
  readonly #groups: V1Bases;
  readonly #ownProcesses: number;

  /** @param ownProcesses of the group's processes, those that are none of the tenant's */
  constructor(groups: V1Bases, ownProcesses: number) {
    this.#groups = groups;
    this.#ownProcesses = ownProcesses;
    this.paths = distinct(groups);
    this.canFreeze = groups.freezer !== null;
  }

  async add(pid: number): Promise<void> {
    await Promise.all(this.paths.map((path) => setFile(path, 'cgroup.procs', pid)));
  }

  /**
   * A thread that moves itself takes no lock on all processes of the host. `cgroup.procs` does, which waits for the kernel's
   * RCU: 9 ms, and nothing can be changed in any control group meanwhile. The opener's rights count, not the writer's.
   */
  async openDoors(): Promise<readonly FileHandle[]> {
    return await openAll(this.paths.map((path) => join(path, 'tasks')));
  }

  async setLimits(limits: SandboxLimits): Promise<void> {
    const { cpu, memory, pids } = this.#groups;
    const changes = [];
    if (pids !== null) changes.push(setFile(pids, 'pids.max', limits.pids + this.#ownProcesses));
    if (cpu !== null) changes.push(setCpu(cpu, limits.cpuMillis));
    if (memory !== null) changes.push(setMemory(memory, limits.memoryBytes));
    await allApplied(changes);
  }

  async setFrozen(isFrozen: boolean): Promise<void> {
    const { freezer } = this.#groups;
    if (freezer !== null) await setFileIfThere(freezer, FREEZER_FILE, isFrozen ? 'FROZEN' : THAWED);
  }

  async usage(): Promise<CgroupUsage | null> {
    const { cpuacct, memory, pids } = this.#groups;
    const [nanos, bytes, count] = await Promise.all([
      cpuacct === null ? 0 : readNumber(cpuacct, 'cpuacct.usage'),
      memory === null ? 0 : readNumber(memory, 'memory.usage_in_bytes'),
      pids === null ? 0 : readNumber(pids, 'pids.current'),
    ]);
    if (nanos === null || bytes === null || count === null) return null;
    return {
      cpuMicros: Math.round(nanos / 1_000),
      memoryBytes: bytes,
      pids: Math.max(0, count - this.#ownProcesses),
    };
  }

  cpuMicros(): number | null {
    const { cpuacct } = this.#groups;
    const text = cpuacct === null ? null : readNow(cpuacct, 'cpuacct.usage');
    return text === null ? null : Number(text) / 1_000;
  }

  threads(): readonly number[] {
    const { cpu } = this.#groups;
    return cpu === null ? [] : numbersOf(readNow(cpu, 'tasks'));
  }

  setBackground(isInBackground: boolean): boolean {
    const { cpu } = this.#groups;
    return cpu !== null && setNowIfThere(cpu, BACKGROUND_FILE, isInBackground ? 1 : 0);
  }

  async oomKills(): Promise<number> {
    if (this.#groups.memory === null) return 0;
    return keyedNumber(await readText(this.#groups.memory, 'memory.oom_control'), 'oom_kill');
  }

  async remove(deadlineMs: number): Promise<void> {
    await Promise.all(this.paths.map((path) => emptyAndRemove(path, deadlineMs)));
  }
}

/** All of them, or none stays open. */
async function openAll(paths: readonly string[]): Promise<FileHandle[]> {
  const tried = await Promise.allSettled(paths.map((path) => open(path, 'r+')));
  const handles = tried.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
  const failed = tried.find((one) => one.status === 'rejected');
  if (failed === undefined) return handles;
  for (const handle of handles) await handle.close();
  throw failed.reason;
}

function distinct(bases: V1Bases): string[] {
  return [...new Set(Object.values(bases) as (string | null)[])].filter((path) => path !== null);
}

async function setCpu(group: string, cpuMillis: number): Promise<void> {
  await setFile(group, 'cpu.cfs_period_us', CPU_PERIOD_MICROS);
  await setFile(group, 'cpu.cfs_quota_us', cpuQuotaMicros(cpuMillis));
}

/** Memory plus swap may never be below memory: the order of the two writes depends on the direction. */
async function setMemory(group: string, bytes: number): Promise<void> {
  const hasSwapLimit = await setFileIfThere(group, 'memory.swappiness', 0);
  const present = await readNumber(group, 'memory.limit_in_bytes');
  const files = ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes'];
  if (hasSwapLimit && present !== null && present < bytes) files.reverse();
  for (const file of files) await setFileIfThere(group, file, bytes);
}
