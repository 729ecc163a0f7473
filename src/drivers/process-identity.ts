/**
 * Processes of the host by pid and start time (man 5 proc, /proc/<pid>/stat), so that a reused pid is never taken for
 * the process that had it before.
 */
import { readFileSync } from 'node:fs';
import type { SandboxUsage, ThreadState } from './driver.ts';

const NANOS_PER_MICRO = 1_000;

export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since boot, as text. */
  readonly startTicks: string;
}

export interface ProcessStat {
  readonly state: string;
  readonly parent: number;
  readonly startTicks: string;
  /** User and system time in clock ticks (1/100 s on every Linux that Node runs on). */
  readonly cpuTicks: number;
  readonly residentPages: number;
}

/** @returns null when there is no such process */
export function readStat(pid: number): ProcessStat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name may hold spaces and brackets; fields are counted from behind its last bracket.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return {
      state: fields[0] ?? '',
      parent: Number(fields[1]),
      startTicks: fields[19] ?? '',
      cpuTicks: Number(fields[11]) + Number(fields[12]),
      residentPages: Number(fields[21]),
    };
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

export function identityOf(pid: number): ProcessIdentity | null {
  const stat = readStat(pid);
  return stat === null ? null : { pid, startTicks: stat.startTicks };
}

/** A zombie has ended: only its parent has not looked yet. */
export function isAlive(identity: ProcessIdentity): boolean {
  const stat = readStat(identity.pid);
  return stat !== null && stat.startTicks === identity.startTicks && stat.state !== 'Z' && stat.state !== 'X';
}

/** Sends the signal if the pid still belongs to that process. @returns whether it was sent */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  return isAlive(identity) && signalPid(identity.pid, signal);
}

/** @returns false when there is nothing with that pid (negative: process group) */
export function signalPid(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

export function threadState(pid: number): ThreadState {
  switch (readStat(pid)?.state) {
    case 'R':
      return 'running';
    case 'S':
    case 'D':
    case 'I':
      return 'sleeping';
    case 'T':
    case 't':
      return 'stopped';
    default:
      return 'gone';
  }
}

export type MainThreadUsage = Pick<SandboxUsage, 'mainThread' | 'mainThreadMicros' | 'starvedMicros'>;

/** What the main thread of a process does and has done; of the other threads nothing is in it. @param pid null: there is none */
export function mainThreadUsage(pid: number | null): MainThreadUsage {
  if (pid === null) return { mainThread: 'gone', mainThreadMicros: null, starvedMicros: 0 };
  const times = scheduledTimes(pid);
  return {
    mainThread: threadState(pid),
    mainThreadMicros: times?.ranMicros ?? null,
    starvedMicros: times?.waitedMicros ?? 0,
  };
}

export interface ScheduledTimes {
  readonly ranMicros: number;
  /** It wanted to run, and got no core; throttling by its quota included. */
  readonly waitedMicros: number;
}

/**
 * Of a thread, or of a process's main thread: first and second number of /proc/<id>/schedstat, in nanoseconds
 * (Documentation/scheduler/sched-stats.rst). @returns null when it is gone, or the kernel does not count it
 */
export function scheduledTimes(id: number): ScheduledTimes | null {
  try {
    const [ran, waited] = readFileSync(`/proc/${id}/schedstat`, 'latin1').split(' ').map(Number);
    const micros = (nanos = 0): number => Math.round(nanos / NANOS_PER_MICRO);
    return { ranMicros: micros(ran), waitedMicros: micros(waited) };
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** The file or the process behind it went away. */
export function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ESRCH' || code === 'ENODEV';
}
