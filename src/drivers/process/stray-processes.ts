/** Finds what a sandbox of the driver `process` started, wherever it moved: all of it inherited the same TMPDIR. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMissing, signalPid } from '../process-identity.ts';

const KILL_MS = 5_000;
const POLL_MS = 5;

/** @throws Error when something survives SIGKILL */
export async function killStrays(tmpDir: string): Promise<void> {
  const end = performance.now() + KILL_MS;
  for (;;) {
    const strays = findStrays(tmpDir);
    if (strays.length === 0) return;
    if (performance.now() > end) throw new Error(`processes ${strays.join(', ')} do not end`);
    for (const pid of strays) signalPid(pid, 'SIGKILL');
    await sleep(POLL_MS);
  }
}

function findStrays(tmpDir: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && environmentOf(name).includes(`TMPDIR=${tmpDir}`))
    .map(Number);
}

function environmentOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // It ended meanwhile, or belongs to another user and is none of ours.
    if (isMissing(error) || code === 'EACCES' || code === 'EPERM') return [];
    throw error;
  }
}
