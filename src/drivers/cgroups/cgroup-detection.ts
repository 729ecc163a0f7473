/** Finds a place in the host's control groups where this process may make groups for sandboxes. */
import { access, constants, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DriverLog } from '../driver-log.ts';
import { isMissing } from '../process-identity.ts';
import { type CgroupTree, type Controller, controllers } from './cgroup.ts';
import { isRemoved, makeGroup, processesOf, readText, setFile } from './cgroup-files.ts';
import { parseCgroupPlaces } from './cgroup-mounts.ts';
import { CgroupTreeV1 } from './cgroup-v1.ts';
import { CgroupTreeV2 } from './cgroup-v2.ts';

export interface CgroupDetection {
  readonly tree: CgroupTree | null;
  /** Why a controller cannot be used, for the operator. */
  readonly reasons: ReadonlyMap<Controller, string>;
}

export interface DetectionOptions {
  /** Names the group of all sandboxes of this run directory. */
  readonly groupName: string;
  readonly isRoot: boolean;
  readonly log: DriverLog;
}

/** Version 2 where it has the controllers, else version 1, else nothing. Makes the group of all sandboxes. */
export async function detectCgroups(options: DetectionOptions): Promise<CgroupDetection> {
  const [mountinfo, membership] = await Promise.all([
    readFile('/proc/self/mountinfo', 'utf8'),
    readFile('/proc/self/cgroup', 'utf8'),
  ]);
  const places = parseCgroupPlaces(mountinfo, membership);
  const tree =
    (places.v2 === null ? null : await openV2(places.v2, options)) ?? (await openV1(places.v1, options));
  const reasons = new Map<Controller, string>();
  for (const name of controllers)
    if (!tree?.available.has(name)) reasons.set(name, reasonFor(options.isRoot));
  return { tree, reasons };
}

function reasonFor(isRoot: boolean): string {
  return isRoot
    ? 'this host has no writable control group for it; in a container, mount /sys/fs/cgroup writable'
    : 'no control group is delegated to this user; run as root, or under systemd with "systemd-run --user --scope -p Delegate=yes"';
}

async function openV1(
  own: ReadonlyMap<string, string>,
  options: DetectionOptions,
): Promise<CgroupTree | null> {
  const base = async (controller: string): Promise<string | null> => {
    const parent = own.get(controller);
    return parent === undefined ? null : await tryMake(join(parent, options.groupName), options.log);
  };
  const bases = {
    memory: await base('memory'),
    cpu: await base('cpu'),
    cpuacct: await base('cpuacct'),
    pids: await base('pids'),
    freezer: await base('freezer'),
  };
  return Object.values(bases).every((path) => path === null) ? null : new CgroupTreeV1(bases);
}

/** @returns null where this process may not make groups */
async function tryMake(path: string, log: DriverLog): Promise<string | null> {
  try {
    await makeGroup(path);
    await access(join(path, 'cgroup.procs'), constants.W_OK);
    return path;
  } catch (error) {
    log.info({ path, error: String(error) }, 'this control group cannot be used');
    return null;
  }
}

/**
 * A group with processes cannot give controllers to its children, except the root of the tree. So as root on a host:
 * next to the slices of systemd, as runc does. In a container, or delegated: own processes move to a leaf first.
 */
async function openV2(
  places: { readonly own: string; readonly mountPoint: string },
  options: DetectionOptions,
): Promise<CgroupTree | null> {
  const isService = places.own.endsWith('.service');
  const parents =
    options.isRoot && !isService ? [places.mountPoint, places.own] : [places.own, places.mountPoint];
  for (const parent of new Set(parents)) {
    const enabled = await enableControllers(parent, options);
    if (enabled.size === 0) continue;
    const base = await tryMake(join(parent, options.groupName), options.log);
    if (base === null) continue;
    await enable(base, enabled);
    return new CgroupTreeV2(base, enabled);
  }
  return null;
}

async function enableControllers(
  parent: string,
  { groupName, log }: DetectionOptions,
): Promise<ReadonlySet<Controller>> {
  const offered = ((await readText(parent, 'cgroup.controllers')) ?? '').trim().split(/\s+/);
  const wanted = new Set(controllers.filter((name) => offered.includes(name)));
  if (wanted.size === 0) return wanted;
  try {
    await enable(parent, wanted);
    return wanted;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') {
      log.info({ parent, error: String(error) }, 'the controllers of this control group cannot be used');
      return new Set();
    }
  }
  return await enableAfterMove(parent, wanted, { leaf: `${groupName}-platform`, log });
}

/** The group has processes: they go to a leaf of it, then it can give controllers to its children. */
async function enableAfterMove(
  parent: string,
  wanted: ReadonlySet<Controller>,
  { leaf, log }: { readonly leaf: string; readonly log: DriverLog },
): Promise<ReadonlySet<Controller>> {
  const path = join(parent, leaf);
  try {
    await makeGroup(path);
    for (const pid of await processesOf(parent)) await moveProcess(path, pid);
    await enable(parent, wanted);
    return wanted;
  } catch (error) {
    await isRemoved(path);
    log.info({ parent, error: String(error) }, 'the processes of this control group cannot be moved');
    return new Set();
  }
}

async function moveProcess(group: string, pid: number): Promise<void> {
  try {
    await setFile(group, 'cgroup.procs', pid);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

async function enable(group: string, wanted: ReadonlySet<Controller>): Promise<void> {
  await setFile(group, 'cgroup.subtree_control', [...wanted].map((name) => `+${name}`).join(' '));
}
