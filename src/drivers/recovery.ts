/** Removes what a platform that was killed left over on this run directory: processes, control groups, directories. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { SandboxId } from '../contracts/ids.ts';
import { removeTree } from '../kernel/tree-removal.ts';
import { emptyAndRemove, letDie, letProcessDie } from './cgroups/cgroup-files.ts';
import type { DriverLog } from './driver-log.ts';
import { isAlive, type ProcessIdentity, signalPid } from './process-identity.ts';
import { killStrays } from './process/stray-processes.ts';
import type { SandboxRecord, SandboxRecords } from './sandbox-record.ts';

const KILL_MS = 8_000;
const POLL_MS = 5;

export interface RecoveryOptions {
  readonly records: SandboxRecords;
  readonly runDir: string;
  /** Control groups are removed only when they are called so. */
  readonly groupName: string;
  readonly log: DriverLog;
}

/** Sandboxes of a platform that still lives (an upgrade is going on) are left alone. @returns ids removed */
export async function recoverSandboxes(options: RecoveryOptions): Promise<readonly SandboxId[]> {
  const { records, log } = options;
  await records.removeUnfinished();
  const found = await records.list((name, error) =>
    log.warn({ name, err: error }, 'a sandbox record is broken'),
  );
  const left = found.filter(({ platform }) => !isAlive(platform));
  const removed = await Promise.all(left.map((record) => removeLeftover(record, options)));
  return removed.filter((id) => id !== null);
}

async function removeLeftover(record: SandboxRecord, options: RecoveryOptions): Promise<SandboxId | null> {
  try {
    const groups = record.cgroups.map((path) => groupOf(record, path, options));
    await Promise.all(groups.map(letDie));
    if (record.process !== null) await killTree(record.process);
    // The driver `process` wrote it, whichever driver recovers: it has no control groups to find them by.
    if (record.tmpDir !== null) await killStrays(record.tmpDir);
    // The group above them stays: it is the one that the new sandboxes are about to be made in.
    for (const group of groups) await emptyAndRemove(group, KILL_MS);
    for (const path of [record.channelDir, record.tmpDir])
      if (path !== null) await removeDirectory(path, options);
    await options.records.remove(record.id);
    return record.id;
  } catch (error) {
    // The record stays: the next start tries again.
    options.log.warn({ sandbox: record.id, err: error }, 'a left-over sandbox could not be removed');
    return null;
  }
}

/** The outermost process; the others die with it (parent-death signal), or with the control group. */
async function killTree(outermost: ProcessIdentity): Promise<void> {
  const end = performance.now() + KILL_MS;
  while (isAlive(outermost)) {
    signalPid(outermost.pid, 'SIGKILL');
    await letProcessDie(outermost.pid);
    if (performance.now() > end) throw new Error(`process ${outermost.pid} does not end`);
    await sleep(POLL_MS);
  }
}

function groupOf({ id }: SandboxRecord, path: string, { groupName }: RecoveryOptions): string {
  if (!path.endsWith(`/${groupName}/${id}`)) throw new RangeError(`${path} is no control group of ours`);
  return path;
}

async function removeDirectory(path: string, { runDir, log }: RecoveryOptions): Promise<void> {
  try {
    await removeTree(runDir, path);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    log.warn({ path }, 'a left-over directory lies outside the run directory and stays');
  }
}
