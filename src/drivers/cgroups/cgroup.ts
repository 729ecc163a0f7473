/** Limits by control groups: one group for each sandbox under one group for each run directory. Versions 1 and 2. */
import type { FileHandle } from 'node:fs/promises';
import type { SandboxId } from '../../contracts/ids.ts';
import type { SandboxLimits } from '../driver.ts';

export const controllers = ['memory', 'cpu', 'pids'] as const;
export type Controller = (typeof controllers)[number];

export interface CgroupUsage {
  readonly cpuMicros: number;
  readonly memoryBytes: number;
  readonly pids: number;
}

/** The group of one sandbox. */
export interface SandboxCgroup {
  /** Directories to be removed, for the record. */
  readonly paths: readonly string[];
  readonly canFreeze: boolean;
  /** Moves a process; what it forks afterwards stays in the group. */
  add(pid: number): Promise<void>;
  /** Files by which a process of one thread moves itself: it writes 0 to each. Empty where only `add` can do it. */
  openDoors(): Promise<readonly FileHandle[]>;
  /** Sets all that the kernel takes. Idempotent. @throws when it refuses one, e.g. memory in use above the new limit (v1, EBUSY) */
  setLimits(limits: SandboxLimits): Promise<void>;
  /** Stops or continues all processes in it. Nothing happens where the kernel has no freezer, or the group is gone. */
  setFrozen(isFrozen: boolean): Promise<void>;
  /** @returns null when the group is gone */
  usage(): Promise<CgroupUsage | null>;
  /** CPU time in microseconds, read at once; null when the group is gone */
  cpuMicros(): number | null;
  /** Ids of all threads in it; they are the same under /proc/<id> */
  threads(): readonly number[];
  /**
   * In the background its processes get what CPU all others leave, and give it back in the middle of a slice (`cpu.idle`, since
   * Linux 5.15). @returns false where the kernel has no such file, or the group is gone
   */
  setBackground(isInBackground: boolean): boolean;
  /** How many processes the kernel killed in it for memory. */
  oomKills(): Promise<number>;
  /** Kills until the group is empty and removes it. Idempotent. @throws Error when it is not empty after `deadlineMs` */
  remove(deadlineMs: number): Promise<void>;
}

export interface CgroupTree {
  readonly version: 1 | 2;
  readonly available: ReadonlySet<Controller>;
  readonly canFreeze: boolean;
  /** Makes the group with limits in force. */
  create(id: SandboxId, limits: SandboxLimits): Promise<SandboxCgroup>;
  /** Where `create` puts the group of a sandbox; nothing is made. */
  pathsOf(id: SandboxId): readonly string[];
  /** Removes the group of all sandboxes where it is empty; another platform may still use it. */
  close(): Promise<void>;
}

/** bwrap's monitor and its first process in the namespace live in the group, too; tenants' limits do not count them. */
export const OWN_PROCESSES = 2;
export const CPU_PERIOD_MICROS = 100_000;

/** CPU time in each period, in microseconds; the kernel takes no less than 1 ms. */
export function cpuQuotaMicros(cpuMillis: number): number {
  return Math.max(1_000, Math.round((cpuMillis * CPU_PERIOD_MICROS) / 1_000));
}
