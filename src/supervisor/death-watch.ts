/**
 * Sandboxes die with their supervisor, by the parent-death signal, but for one that is being made: bubblewrap may be killed
 * after its `clone` and before its child has asked for the signal, and then the child waits for it for ever. So a shell
 * of its own session waits for the supervisor's end, and has what is on record removed. Until then it costs half a megabyte.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { DriverLog } from '../drivers/driver-log.ts';
import { identityOf } from '../drivers/process-identity.ts';

const MAIN = join(import.meta.dirname, 'death-watch-main.ts');
/** A line: the supervisor ends in order. The end of the input: it was killed. */
const SCRIPT = 'IFS= read -r _ && exit 0; exec "$@"';

export interface DeathWatch {
  /** Nothing is left; nothing needs to be removed. */
  release(): void;
}

export function startDeathWatch(runDir: string, log: Pick<DriverLog, 'warn'>): DeathWatch {
  const { pid, startTicks } = identityOf(process.pid)!;
  const onDeath = [process.execPath, MAIN, runDir, String(pid), startTicks];
  const watch = spawn('/bin/sh', ['-c', SCRIPT, 'berth-death-watch', ...onDeath], {
    detached: true,
    cwd: '/',
    env: {},
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watch.on('error', (error) => log.warn({ err: error }, 'nothing watches for the death of the supervisor'));
  // Somebody killed it: the next start removes what is left, as without it.
  watch.stdin.on('error', () => undefined);
  watch.unref();
  return { release: () => void watch.stdin.end('\n') };
}
