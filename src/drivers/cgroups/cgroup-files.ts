/** Reading, writing, emptying and removing cgroup directories; alike in both versions. */
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMissing, signalPid } from '../process-identity.ts';
import { parseCgroupPlaces } from './cgroup-mounts.ts';

const POLL_MS = 4;
/** Of version 1. */
export const FREEZER_FILE = 'freezer.state';
export const THAWED = 'THAWED';
/** Alike in both versions. */
export const BACKGROUND_FILE = 'cpu.idle';

export async function makeGroup(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

export async function setFile(group: string, file: string, value: string | number): Promise<void> {
  await writeFile(join(group, file), String(value), { flag: 'r+' });
}

/** Writes where the kernel has that file: some are compiled out or belong to an absent controller. @returns whether */
export async function setFileIfThere(group: string, file: string, value: string | number): Promise<boolean> {
  try {
    await setFile(group, file, value);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** @returns null when the group or the file is gone */
export async function readText(group: string, file: string): Promise<string | null> {
  try {
    return await readFile(join(group, file), 'utf8');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

export async function readNumber(group: string, file: string): Promise<number | null> {
  const text = await readText(group, file);
  return text === null ? null : Number(text);
}

/** Of files that the kernel answers without waiting. @returns null when the group or the file is gone */
export function readNow(group: string, file: string): string | null {
  try {
    return readFileSync(join(group, file), 'latin1');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** As `setFileIfThere`, for files that the kernel takes without waiting. */
export function setNowIfThere(group: string, file: string, value: string | number): boolean {
  try {
    writeFileSync(join(group, file), String(value), { flag: 'r+' });
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** One number on each line. */
export function numbersOf(text: string | null): number[] {
  return (text ?? '').split('\n').filter(Boolean).map(Number);
}

/** A value of a file of `name value` lines; 0 when it is not there. */
export function keyedNumber(text: string | null, key: string): number {
  const line = text?.split('\n').find((candidate) => candidate.startsWith(`${key} `));
  return line === undefined ? 0 : Number(line.slice(key.length + 1));
}

export async function processesOf(group: string): Promise<number[]> {
  return numbersOf(await readText(group, 'cgroup.procs'));
}

/** Kills everything in the group until it is empty, then removes it. @throws Error when that takes longer */
export async function emptyAndRemove(group: string, deadlineMs: number): Promise<void> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    await setFileIfThere(group, 'cgroup.kill', '1');
    for (const pid of await processesOf(group)) if (pid > 1) signalPid(pid, 'SIGKILL');
    if (await isRemoved(group)) return;
    await letDie(group);
    if (performance.now() > end) throw new Error(`the cgroup ${group} is not empty after ${deadlineMs} ms`);
    await sleep(POLL_MS);
  }
}

/** What is frozen in version 1 ends when it is thawed; in version 2 it can be killed as it is. */
export async function letDie(group: string): Promise<void> {
  await setFileIfThere(group, FREEZER_FILE, THAWED);
}

/** As `letDie`, for one whose group stands in no record: an engine made it. */
export async function letProcessDie(pid: number): Promise<void> {
  const membership = await readText(`/proc/${pid}`, 'cgroup');
  const mountinfo = await readText('/proc/self', 'mountinfo');
  const freezer = parseCgroupPlaces(mountinfo ?? '', membership ?? '').v1.get('freezer');
  if (freezer === undefined) return;
  // It may be there to be read only, where nobody can have frozen it.
  const state = await readText(freezer, FREEZER_FILE);
  if (state !== null && state.trim() !== THAWED) await letDie(freezer);
}

/** A group whose last process is just being reaped answers EBUSY for a moment. */
export async function isRemoved(group: string): Promise<boolean> {
  try {
    await rmdir(group);
    return true;
  } catch (error) {
    if (isMissing(error)) return true;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EBUSY' || code === 'ENOTEMPTY') return false;
    throw error;
  }
}
