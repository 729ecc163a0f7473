/** One jailed sandbox on the host: its processes, control groups, uid and record, from start to the last trace. */
import { constants as osConstants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeFile } from 'node:fs/promises';
import { withDeadline } from '../../kernel/deadline.ts';
import { systemClock } from '../../kernel/clock.ts';
import type { SandboxCgroup } from '../cgroups/cgroup.ts';
import type { SandboxExit, SandboxLimits, SandboxUsage } from '../driver.ts';
import type { SandboxId } from '../../contracts/ids.ts';
import { GroupFreezer } from '../group-freezer.ts';
import {
  identityOf,
  isAlive,
  isMissing,
  type ProcessIdentity,
  mainThreadUsage,
  readStat,
  signalProcess,
} from '../process-identity.ts';
import { StderrTail } from '../stderr-tail.ts';
import type { JailProcess } from './jail-process.ts';
import { findMainProcess } from '../main-process.ts';

/** Killing a pid namespace takes milliseconds; a host that needs longer than this is ill. */
const KILL_MS = 8_000;
const POLL_MS = 4;
/** The outermost process needs about a millisecond to reap. */
const REAP_MS = 300;
const STDERR_MS = 500;
const MICROS_PER_TICK = 10_000;
const PAGE_BYTES = 4096;
/** When the host runs out of memory, sandboxes go before anything else. */
const OOM_SCORE_ADJUSTMENT = 500;

export class JailSandbox {
  readonly id: SandboxId;
  readonly #process: JailProcess;
  readonly #identity: ProcessIdentity | null;
  readonly #cgroup: SandboxCgroup | null;
  readonly #freezer: GroupFreezer | null;
  readonly #stderr: StderrTail;
  readonly #exited: Promise<{ code: number | null; signal: string | null }>;
  #first: ProcessIdentity | null = null;
  #main: ProcessIdentity | null = null;
  #killTimer: NodeJS.Timeout | null = null;

  constructor(id: SandboxId, process: JailProcess, cgroup: SandboxCgroup | null) {
    this.id = id;
    this.#process = process;
    this.#cgroup = cgroup;
    this.#freezer = cgroup === null ? null : new GroupFreezer(cgroup);
    this.#identity = identityOf(process.pid);
    this.#stderr = new StderrTail(process.stderr);
    this.#exited = new Promise((resolve) => {
      process.child.once('exit', (code, signal) => resolve({ code, signal }));
    });
  }

  /** The outermost process: it stands in the outer user and mount namespaces. */
  get identity(): ProcessIdentity | null {
    return this.#identity;
  }

  get stderrText(): string {
    return this.#stderr.text;
  }

  /** Puts it into its control groups, opens the gate and waits until bubblewrap has made the namespaces. */
  async enter(deadlineMs: number): Promise<void> {
    if (!this.#process.movesItself) await this.#cgroup?.add(this.#process.pid);
    await this.#offerToOomKiller();
    this.#process.open();
    const pid = await withDeadline(systemClock, deadlineMs, this.#process.firstPid);
    this.#first = identityOf(pid);
  }

  /** Waits until the outermost process has ended, then for the rest of the tree. @throws Error when something survives */
  async ended(): Promise<SandboxExit> {
    const { code, signal } = await this.#exited;
    this.kill();
    await this.#namespaceEnded();
    this.#freezer?.close();
    const oomKills = (await this.#cgroup?.oomKills()) ?? 0;
    await this.#cgroup?.remove(KILL_MS);
    await this.#stderr.finish(STDERR_MS);
    return {
      id: this.id,
      ...asNodeTellsIt(code, signal),
      outOfMemory: oomKills > 0 || this.#stderr.sawHeapExhausted,
      stderrTail: this.#stderr.text,
    };
  }

  /**
   * SIGKILL to the namespace's first process ends all others in it (man 7 pid_namespaces). The outermost one is not in the
   * namespace: it sees its child die, reaps it and ends, unless it is stopped or was not that far yet. Idempotent.
   */
  kill(): void {
    if (this.#first !== null && signalProcess(this.#first, 'SIGKILL')) this.#killOutermostLater();
    else this.#killOutermost();
    this.#freezer?.letDie();
  }

  #killOutermostLater(): void {
    this.#killTimer ??= setTimeout(() => this.#killOutermost(), REAP_MS);
    void this.#exited.then(() => clearTimeout(this.#killTimer ?? undefined));
  }

  #killOutermost(): void {
    const { child } = this.#process;
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  }

  async setLimits(limits: SandboxLimits): Promise<void> {
    await this.#cgroup?.setLimits(limits);
  }

  async freeze(): Promise<void> {
    await this.#freezer?.freeze();
  }

  async thaw(): Promise<void> {
    await this.#freezer?.thaw();
  }

  async usage(): Promise<SandboxUsage | null> {
    const main = await this.mainProcess();
    const thread = mainThreadUsage(main?.pid ?? null);
    const counted = await this.#cgroup?.usage();
    if (counted === null) return null;
    if (counted !== undefined) return { ...counted, ...thread };
    const stat = main === null ? null : readStat(main.pid);
    return {
      cpuMicros: (stat?.cpuTicks ?? 0) * MICROS_PER_TICK,
      memoryBytes: (stat?.residentPages ?? 0) * PAGE_BYTES,
      pids: stat === null ? 0 : 1,
      ...thread,
    };
  }

  /** The sandbox's Node; null before it runs and after it ended. */
  async mainProcess(): Promise<ProcessIdentity | null> {
    if (this.#main === null && this.#first !== null) this.#main = await findMainProcess(this.#first);
    return this.#main !== null && isAlive(this.#main) ? this.#main : null;
  }

  async #namespaceEnded(): Promise<void> {
    const end = performance.now() + KILL_MS;
    while (this.#first !== null && isAlive(this.#first)) {
      if (performance.now() > end) throw new Error(`the processes of ${this.id} do not end`);
      await sleep(POLL_MS);
    }
  }

  async #offerToOomKiller(): Promise<void> {
    try {
      await writeFile(`/proc/${this.#process.pid}/oom_score_adj`, String(OOM_SCORE_ADJUSTMENT));
    } catch (error) {
      // Ended already, or another user's process to a platform without root: then the host's default holds.
      const { code } = error as NodeJS.ErrnoException;
      if (!isMissing(error) && code !== 'EACCES' && code !== 'EPERM') throw error;
    }
  }
}

/** Bubblewrap tells a death by signal as 128 + signal, as a shell does; Node users know it as a signal. */
function asNodeTellsIt(
  code: number | null,
  signal: string | null,
): { code: number | null; signal: string | null } {
  if (code === null || code <= 128) return { code, signal };
  const name = Object.entries(osConstants.signals).find(([, number]) => number === code - 128)?.[0];
  return name === undefined ? { code, signal } : { code: null, signal: name };
}
