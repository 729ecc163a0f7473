/** What the host shows of one platform's sandboxes: processes, cgroups, mounts, containers. For tests that nothing is left over. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { containerLabels } from '../../src/drivers/docker/container-config.ts';
import { EngineClient } from '../../src/drivers/docker/engine-client.ts';
import { EngineContainers } from '../../src/drivers/docker/engine-containers.ts';
import { groupNameOf } from '../../src/drivers/jail/jail-ground.ts';
import { runDirFor } from '../../src/supervisor/run-dir.ts';

const CGROUP_ROOT = '/sys/fs/cgroup';
const MAX_DEPTH = 6;

export function runDirOf(dataDir: string): string {
  return runDirFor({ dataDir, uid: process.geteuid?.() ?? 0, runtimeDir: process.env['XDG_RUNTIME_DIR'] });
}

/** The name of the cgroup that a platform on this data folder makes for its sandboxes. */
export function instanceOf(dataDir: string): string {
  return groupNameOf(runDirOf(dataDir));
}

/** The server that a supervisor has started. @returns null when there is none, as between two of them */
export function serverOf(supervisorPid: number): number | null {
  return childOf(supervisorPid, 'src/server/main.ts');
}

/** The child that runs a program of ours. */
export function childOf(parent: number, program: string): number | null {
  const children = readProc(`${parent}/task/${parent}/children`).split(' ').filter(Boolean);
  const found = children.find((pid) => readProc(`${pid}/cmdline`).includes(program));
  return found === undefined ? null : Number(found);
}

/** A process that has ended, but whose parent has not looked yet, does not run. */
export function isRunning(pid: number): boolean {
  const state = /^State:\s+(\w)/m.exec(readProc(`${pid}/status`))?.[1];
  return state !== undefined && state !== 'Z' && state !== 'X';
}

function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, 'utf8');
  } catch {
    return ''; // it ended while we looked
  }
}

/** Pids of the processes of an instance's sandboxes, by cgroup: one entry for each sandbox. */
export function sandboxProcesses(instance: string): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const entry of readdirSync('/proc')) {
    const path = /^\d+$/.test(entry) ? cgroupPath(entry, instance) : null;
    if (path !== null) found.set(path, [...(found.get(path) ?? []), Number(entry)]);
  }
  return found;
}

function cgroupPath(pid: string, instance: string): string | null {
  return new RegExp(`^\\d+:[^:]*:(.*/${instance}/.+)$`, 'm').exec(readProc(`${pid}/cgroup`))?.[1] ?? null;
}

/** Folders of cgroups that belong to the instance. */
export function instanceCgroups(instance: string): string[] {
  const found: string[] = [];
  collect(CGROUP_ROOT, { instance, depth: 0, found });
  return found;
}

function collect(folder: string, search: { instance: string; depth: number; found: string[] }): void {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return; // gone meanwhile
  }
  for (const entry of entries) {
    if (!entry.isDirectory()) continue;
    const path = join(folder, entry.name);
    if (entry.name === search.instance) search.found.push(path);
    else if (search.depth < MAX_DEPTH) collect(path, { ...search, depth: search.depth + 1 });
  }
}

/** Mounts of the host that belong to the instance. */
export function instanceMounts(dataDir: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(runDirOf(dataDir)) || line.includes(dataDir));
}

/** What a platform has in its run directory as long as it lives. */
const OWN_ENTRIES: ReadonlySet<string> = new Set(['channels', 'records', 'server.json', 'stash']);

/** Names of sandboxes that have left anything on the host: a folder, a socket or a record in the run directory, a cgroup, a mount. */
export function sandboxTraces(dataDir: string): Set<string> {
  const found = new Set<string>();
  const runDir = runDirOf(dataDir);
  for (const name of listed(runDir)) if (!OWN_ENTRIES.has(name)) found.add(name);
  for (const name of listed(join(runDir, 'channels'))) found.add(name);
  for (const name of listed(join(runDir, 'stash'))) found.add(name);
  for (const name of listed(join(runDir, 'records'))) found.add(name.replace(/\.json$/, ''));
  for (const group of instanceCgroups(instanceOf(dataDir)))
    for (const name of listed(group)) if (isFolder(join(group, name))) found.add(name);
  for (const line of instanceMounts(dataDir)) found.add(line);
  return found;
}

function listed(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // gone meanwhile, or never there
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/**
 * As `sandboxProcesses`, for the Docker driver: by the records of live sandboxes. The first process is the engine's init,
 * or the guest's kernel; what stands in its group belongs to the sandbox.
 */
export function containerProcesses(dataDir: string): Map<string, number[]> {
  const records = join(runDirOf(dataDir), 'records');
  const found = new Map<string, number[]>();
  for (const name of existsSync(records) ? readdirSync(records) : []) {
    const group = name.endsWith('.json') ? groupOfRecord(join(records, name)) : null;
    if (group !== null) found.set(group, []);
  }
  for (const entry of readdirSync('/proc')) {
    const group = /^\d+$/.test(entry) ? groupOf(entry) : null;
    if (group !== null) found.get(group)?.push(Number(entry));
  }
  return found;
}

function groupOfRecord(file: string): string | null {
  try {
    const { process: first } = JSON.parse(readFileSync(file, 'utf8')) as { process: { pid: number } | null };
    return first === null ? null : groupOf(String(first.pid));
  } catch {
    return null; // it ended while we looked
  }
}

function groupOf(pid: string): string | null {
  try {
    const text = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
    return /^\d+:(?:[^:]*pids[^:]*|):(.*)$/m.exec(text)?.[1] ?? null;
  } catch {
    return null; // it ended while we looked
  }
}

/** Containers of a platform on this data folder, in whatever state. */
export async function instanceContainers(dataDir: string, engineHost: string): Promise<string[]> {
  const file = join(dataDir, 'cache/instance-id');
  if (!existsSync(file)) return [];
  const engine = new EngineClient(engineHost);
  try {
    const label = `${containerLabels.instance}=${readFileSync(file, 'utf8').trim()}`;
    return (await new EngineContainers(engine).list(label)).map(({ Id }) => `container ${Id.slice(0, 12)}`);
  } finally {
    engine.close();
  }
}
