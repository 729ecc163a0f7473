/** Finds the sandbox's Node on the host: a child of the first process in its pid namespace. */
import { readFile } from 'node:fs/promises';
import { identityOf, isMissing, type ProcessIdentity } from './process-identity.ts';

/** Bubblewrap's: the one that has pid 2 inside. @returns null when it has not started yet, or has ended */
export async function findMainProcess(first: ProcessIdentity): Promise<ProcessIdentity | null> {
  for (const pid of await childrenOf(first.pid)) {
    if ((await innerPid(pid)) === 2) return identityOf(pid);
  }
  return null;
}

/** Docker's init starts one child; orphans that it takes in later are younger. @returns null when there is none */
export async function findEldestChild(first: ProcessIdentity): Promise<ProcessIdentity | null> {
  const children = (await childrenOf(first.pid)).map(identityOf).filter((child) => child !== null);
  return children.reduce<ProcessIdentity | null>(
    (eldest, child) =>
      eldest === null || Number(child.startTicks) < Number(eldest.startTicks) ? child : eldest,
    null,
  );
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readOrNothing(`/proc/${pid}/task/${pid}/children`);
  return text.split(' ').filter(Boolean).map(Number);
}

/** `NSpid` lists the pid in each namespace, the innermost last. */
async function innerPid(pid: number): Promise<number> {
  const line = (await readOrNothing(`/proc/${pid}/status`))
    .split('\n')
    .find((text) => text.startsWith('NSpid:'));
  return Number(line?.trim().split(/\s+/).at(-1) ?? 0);
}

async function readOrNothing(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return '';
    throw error;
  }
}
