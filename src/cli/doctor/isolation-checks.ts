/** What sandboxes are made of: user namespaces, overlay mounts in them, control groups. */
import { userNamespaceSwitches } from '../../contracts/user-namespace-switches.ts';
import { type Check, fail, type Host, ok } from './finding.ts';

const CONTROLLERS = ['memory', 'cpu', 'pids'] as const;
const DELEGATE = 'run as root, or under systemd with "systemd-run --user --scope -p Delegate=yes"';
const IN_NAMESPACES = ['--user', '--map-root-user', '--mount'] as const;

function forbidding(host: Host) {
  return userNamespaceSwitches.find(({ file, forbids }) => host.read(file) === forbids);
}

/** Tried, not guessed. */
function canMakeNamespaces(host: Host): boolean {
  return host.run('unshare', ...IN_NAMESPACES, 'true') !== null;
}

const userNamespaces: Check = {
  name: 'user namespaces',
  look(host) {
    if (canMakeNamespaces(host)) return ok('an ordinary user can make them');
    const wayOut =
      'allow them to ordinary users; in a container, its seccomp and AppArmor profiles must allow them, too';
    return fail('an ordinary user cannot make them', forbidding(host)?.wayOut ?? wayOut);
  },
};

/** Ubuntu 24.04 lets them be made, but takes the capabilities in them away from programs without a profile. */
const appArmor: Check = {
  name: 'AppArmor',
  look(host) {
    const [restriction] = userNamespaceSwitches;
    const value = host.read(restriction!.file);
    if (value !== restriction!.forbids)
      return ok(value === null ? 'no rule about user namespaces' : 'allows user namespaces');
    return host.run('bwrap', '--unshare-user', '--ro-bind', '/', '/', 'true') === null
      ? fail('forbids user namespaces to bubblewrap', restriction!.wayOut)
      : ok('restricts user namespaces, but not bubblewrap’s');
  },
};

const overlay: Check = {
  name: 'overlay',
  look(host) {
    if (!canMakeNamespaces(host))
      return fail('cannot be tried without user namespaces', 'see "user namespaces"');
    const mount = 'mount -n -t overlay -o lowerdir=/etc:/usr overlay /mnt';
    return host.run('unshare', ...IN_NAMESPACES, '/bin/sh', '-c', mount) === null
      ? fail(
          'cannot be mounted in a user namespace',
          'run Linux 5.11 or newer with CONFIG_OVERLAY_FS: modprobe overlay',
        )
      : ok('can be mounted in a user namespace');
  },
};

/** The group of this process in a hierarchy, as a directory. */
function ownGroup(host: Host, pattern: RegExp): string | null {
  return pattern.exec(host.read('/proc/self/cgroup') ?? '')?.[1] ?? null;
}

const cgroups: Check = {
  name: 'cgroups',
  look(host) {
    const unified = host.read('/sys/fs/cgroup/cgroup.controllers');
    return unified === null ? lookAtV1(host) : lookAtV2(host, unified.split(/\s+/));
  },
};

function lookAtV2(host: Host, offered: readonly string[]) {
  const missing = CONTROLLERS.filter((name) => !offered.includes(name));
  if (missing.length > 0)
    return fail(`version 2 without ${missing.join(', ')}`, 'boot without cgroup_disable=');
  if (host.isRoot) return ok('version 2, root makes its own groups');
  const own = `/sys/fs/cgroup${ownGroup(host, /^0::(\/.*)$/m) ?? ''}`;
  const delegated = host.read(`${own}/cgroup.controllers`)?.split(/\s+/) ?? [];
  const isDelegated =
    host.isWritable(`${own}/cgroup.procs`) && CONTROLLERS.every((name) => delegated.includes(name));
  return isDelegated
    ? ok('version 2, delegated to this user')
    : fail('version 2, not delegated to this user: no limits of memory, CPU and processes', DELEGATE);
}

function lookAtV1(host: Host) {
  const missing = CONTROLLERS.filter(
    (name) => ownGroup(host, new RegExp(`^\\d+:(?:.*,)?${name}(?:,.*)?:(/.*)$`, 'm')) === null,
  );
  if (missing.length > 0)
    return fail(`version 1 without ${missing.join(', ')}`, 'mount /sys/fs/cgroup (in a container: writable)');
  if (!host.isRoot)
    return fail(
      'version 1 cannot be delegated to an ordinary user',
      'run as root, or boot with systemd.unified_cgroup_hierarchy=1',
    );
  return host.isWritable('/sys/fs/cgroup/memory') || host.isWritable('/sys/fs/cgroup')
    ? ok('version 1, root makes its own groups')
    : fail(
        'version 1, not writable: no limits of memory, CPU and processes',
        'mount /sys/fs/cgroup writable',
      );
}

export const isolationChecks: readonly Check[] = [userNamespaces, appArmor, overlay, cgroups];
