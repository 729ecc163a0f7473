/** Where this process stands in the control groups of the host: /proc/self/mountinfo and /proc/self/cgroup. */
import { resolve } from 'node:path';

export interface CgroupPlaces {
  /** Own directory in each version 1 hierarchy, by controller name. */
  readonly v1: ReadonlyMap<string, string>;
  /** Own directory and mount point of the version 2 tree. */
  readonly v2: { readonly own: string; readonly mountPoint: string } | null;
}

interface CgroupMount {
  readonly root: string;
  readonly mountPoint: string;
  readonly controllers: readonly string[];
  readonly version: 1 | 2;
}

/** @param mountinfo text of /proc/self/mountinfo @param membership text of /proc/self/cgroup */
export function parseCgroupPlaces(mountinfo: string, membership: string): CgroupPlaces {
  const mounts = mountinfo
    .split('\n')
    .map(parseMount)
    .filter((mount) => mount !== null);
  const v1 = new Map<string, string>();
  let v2: CgroupPlaces['v2'] = null;
  for (const line of membership.split('\n')) {
    const [, names, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (names === undefined || path === undefined) continue;
    const mount = mounts.find((candidate) =>
      names === '' ? candidate.version === 2 : candidate.controllers.includes(names.split(',')[0] ?? ''),
    );
    if (mount === undefined) continue;
    const own = ownDirectory(mount, path);
    if (names === '') v2 = { own, mountPoint: mount.mountPoint };
    else for (const name of names.split(',')) v1.set(name, own);
  }
  return { v1, v2 };
}

/** man 5 proc: ID parent major:minor root mount-point options… - type source super-options */
function parseMount(line: string): CgroupMount | null {
  const [left, right] = line.split(' - ');
  const [type, , superOptions] = right?.split(' ') ?? [];
  const [, , , root, mountPoint] = left?.split(' ') ?? [];
  if ((type !== 'cgroup' && type !== 'cgroup2') || root === undefined || mountPoint === undefined)
    return null;
  return {
    root,
    mountPoint,
    controllers: superOptions?.split(',') ?? [],
    version: type === 'cgroup2' ? 2 : 1,
  };
}

/** In a container the mount may show a part of the tree only; paths are then relative to that part. */
function ownDirectory(mount: CgroupMount, path: string): string {
  if (mount.root === '/') return resolve(mount.mountPoint, `.${path}`);
  const isInside = path === mount.root || path.startsWith(`${mount.root}/`);
  return isInside ? resolve(mount.mountPoint, `.${path.slice(mount.root.length)}`) : mount.mountPoint;
}
