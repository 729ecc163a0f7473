/**
 * Bubblewrap's arguments: the same for every sandbox, handed over in a file, so that /proc/1/cmdline tells nothing.
 * `enter.sh` has put the root together at /mnt. Bubblewrap adds PWD=/tmp to the environment.
 */
import { EMPTY_FILE, sandboxEnvironment } from '../root/root-entries.ts';

/** Descriptors that `enter.sh` and the driver open for bubblewrap; it closes them before the sandbox's code runs. */
export const INFO_FD = 4;
const SECCOMP_FD = 5;

const SANDBOX_UID = 1000;

/** The only devices. No terminal, no shared memory, nothing that can be written into /dev itself. */
export const devices = ['full', 'null', 'random', 'urandom', 'zero'] as const;

/** Files of /proc that tell of the host and not of the sandbox: command line of the kernel, keys. */
const maskedProcFiles = ['/proc/cmdline', '/proc/keys', '/proc/key-users'] as const;

const isolationFlags = words(
  '--unshare-user --unshare-ipc --unshare-pid --unshare-net --unshare-uts --unshare-cgroup',
  // A second user namespace without room for a third one: the seccomp filter is not the only lock on that door.
  '--disable-userns',
  `--uid ${SANDBOX_UID} --gid ${SANDBOX_UID} --hostname sandbox`,
  '--die-with-parent --new-session --cap-drop ALL --clearenv',
);

/** Binding /mnt brings the sandbox's /tmp (writable) and its channel (read-only) along. */
const rootFlags = words('--bind /mnt / --remount-ro / --proc /proc --ro-bind /proc/sys /proc/sys');

const startFlags = words(`--chdir /tmp --seccomp ${SECCOMP_FD} --info-fd ${INFO_FD}`);

export function bwrapArguments(options: {
  readonly hasCertificates: boolean;
  readonly exists: (path: string) => boolean;
}): string[] {
  const environment = Object.entries(sandboxEnvironment(options.hasCertificates));
  const masked = maskedProcFiles.filter(options.exists);
  return [
    ...isolationFlags,
    ...environment.flatMap(([name, value]) => ['--setenv', name, value]),
    ...rootFlags,
    ...masked.flatMap((path) => ['--ro-bind', `/mnt${EMPTY_FILE}`, path]),
    ...devices.flatMap((name) => ['--dev-bind', `/dev/${name}`, `/dev/${name}`]),
    ...startFlags,
  ];
}

/** Only for constants of this file: no value has a space. */
function words(...lines: readonly string[]): string[] {
  return lines.flatMap((line) => line.split(' '));
}

/** As `bwrap --args` reads them. */
export function encodeArguments(values: readonly string[]): string {
  return values.map((value) => `${value}\0`).join('');
}
