/**
 * What the host itself shows of a container, when the engine runs on this host and this process sees its processes:
 * control groups and threads. Cheaper and finer than the engine's statistics, a fortieth of the time of its pause, and the only
 * way to change the limits of a runtime that cannot update (gVisor's runsc of Debian 12).
 */
import type { SandboxLimits, SandboxUsage } from '../driver.ts';
import type { Controller, SandboxCgroup } from '../cgroups/cgroup.ts';
import { numbersOf, readNow } from '../cgroups/cgroup-files.ts';
import { type CgroupPlaces, parseCgroupPlaces } from '../cgroups/cgroup-mounts.ts';
import { SandboxCgroupV1 } from '../cgroups/cgroup-v1.ts';
import { SandboxCgroupV2 } from '../cgroups/cgroup-v2.ts';
import { findEldestChild } from '../main-process.ts';
import {
  identityOf,
  isAlive,
  type ProcessIdentity,
  type MainThreadUsage,
  mainThreadUsage,
} from '../process-identity.ts';
import { ownProcesses } from './container-config.ts';

const allControllers: ReadonlySet<Controller> = new Set(['memory', 'cpu', 'pids']);

export class HostView {
  readonly first: ProcessIdentity;
  readonly group: SandboxCgroup;
  readonly #hasOwnKernel: boolean;
  #main: ProcessIdentity | null = null;

  private constructor(first: ProcessIdentity, group: SandboxCgroup, hasOwnKernel: boolean) {
    this.first = first;
    this.group = group;
    this.#hasOwnKernel = hasOwnKernel;
  }

  /** @param pid of the container's first process, as the engine tells it. @returns null where the host does not show it */
  static of(container: {
    readonly id: string;
    readonly pid: number;
    readonly hasOwnKernel: boolean;
  }): HostView | null {
    const { id, pid, hasOwnKernel } = container;
    const membership = readNow(`/proc/${pid}`, 'cgroup');
    // Another pid namespace than the engine's has other processes under these numbers.
    if (membership === null || !membership.includes(id)) return null;
    const first = identityOf(pid);
    const mountinfo = readNow('/proc/self', 'mountinfo') ?? '';
    const group = groupAt(parseCgroupPlaces(mountinfo, membership), ownProcesses(hasOwnKernel));
    // Elsewhere mounted than this process sees it, its path may lead to another group: our own.
    if (first === null || group === null || !group.paths.every((path) => isIn(path, pid))) return null;
    return new HostView(first, group, hasOwnKernel);
  }

  async usage(): Promise<SandboxUsage | null> {
    const counted = await this.group.usage();
    if (counted === null) return null;
    // Processes of a guest are none of the host: the group counts its kernel's threads.
    const pids = this.#hasOwnKernel ? Math.max(1, counted.pids) : counted.pids;
    return { ...counted, pids, ...(await this.#mainThread()) };
  }

  /** The first process, which for a guest is its kernel, is under a seccomp filter (man 5 proc, "Seccomp"). */
  get isFiltered(): boolean {
    return /^Seccomp:\s+2$/m.test(readNow(`/proc/${this.first.pid}`, 'status') ?? '');
  }

  async setLimits(limits: SandboxLimits): Promise<void> {
    await this.group.setLimits(limits);
  }

  async #mainThread(): Promise<MainThreadUsage> {
    if (!isAlive(this.first)) return mainThreadUsage(null);
    if (this.#hasOwnKernel) return this.#anyThread();
    if (this.#main === null || !isAlive(this.#main)) this.#main = await findEldestChild(this.first);
    return mainThreadUsage(this.#main?.pid ?? null);
  }

  /**
   * Threads of a guest are no threads of the host: whether anything in the group wants to run is all that shows. One of them
   * goes from thread to thread of the host, a system call here, the code there, so all that wait for a core count.
   */
  #anyThread(): MainThreadUsage {
    const threads = this.group.threads().map(mainThreadUsage);
    const isAnyRunning = threads.some(({ mainThread }) => mainThread === 'running');
    return {
      mainThread: isAnyRunning ? 'running' : 'sleeping',
      mainThreadMicros: null,
      starvedMicros: threads.reduce((sum, { starvedMicros }) => sum + starvedMicros, 0),
    };
  }
}

function isIn(group: string, pid: number): boolean {
  return numbersOf(readNow(group, 'cgroup.procs')).includes(pid);
}

function groupAt({ v1, v2 }: CgroupPlaces, own: number): SandboxCgroup | null {
  const at = (controller: string): string | null => v1.get(controller) ?? null;
  const groups = { memory: at('memory'), cpu: at('cpu'), cpuacct: at('cpuacct'), pids: at('pids') };
  if (Object.values(groups).some((path) => path !== null))
    return new SandboxCgroupV1({ ...groups, freezer: at('freezer') }, own);
  return v2 === null ? null : new SandboxCgroupV2(v2.own, allControllers, own);
}
