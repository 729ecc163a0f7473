/** Memory of processes as the kernel counts it. */
import { readFileSync } from 'node:fs';

const KIB_PER_MB = 1024;

export interface PrivateMemory {
  /** Pages that only this process has, written to. */
  readonly privateDirtyMb: number;
  /** The process's share: pages that several have are divided among them. */
  readonly pssMb: number;
}

/** Sums over processes; one that has ended counts nothing. */
export function privateMemory(pids: readonly number[]): PrivateMemory {
  const sums = { privateDirtyMb: 0, pssMb: 0 };
  for (const pid of pids) {
    const text = readProcess(pid, 'smaps_rollup');
    sums.privateDirtyMb += mb(text, 'Private_Dirty');
    sums.pssMb += mb(text, 'Pss');
  }
  return sums;
}

/** Resident memory of one process now. */
export function residentMb(pid: number): number {
  return mb(readProcess(pid, 'status'), 'VmRSS');
}

/** The memory of the machine that new processes could get. */
export function availableMb(): number {
  return mb(readFileSync('/proc/meminfo', 'utf8'), 'MemAvailable');
}

function readProcess(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return '';
    throw error;
  }
}

function mb(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0) / KIB_PER_MB;
}
