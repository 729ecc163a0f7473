/**
 * Joining the namespaces of a live sandbox from outside, as its own uid: it owns the outer user namespace, and with it
 * everything below (man 7 user_namespaces). bwrap's outermost process stands in that one.
 */
import { spawn } from 'node:child_process';
import type { SandboxLimits } from '../driver.ts';
import type { ProcessIdentity } from '../process-identity.ts';
import { TOOLS_PATH } from './jail-options.ts';
import { tmpOptions } from './mount-table.ts';

const REMOUNT_MS = 5_000;

/** A command that runs a program of the sandbox's root on the sandbox's loopback; outside its pid namespace and unseen by it. */
export function enterSandbox(
  outermost: ProcessIdentity,
  main: ProcessIdentity,
  program: string,
): readonly [string, ...string[]] {
  return [
    'nsenter',
    `--user=/proc/${outermost.pid}/ns/user`,
    `--net=/proc/${main.pid}/ns/net`,
    `--mount=/proc/${main.pid}/ns/mnt`,
    '--preserve-credentials',
    program,
  ];
}

/** Changes the limits of the mounted tmpfs (man 5 tmpfs). @throws Error when more is in use than the new ones allow */
export async function remountTmp(change: {
  readonly outermost: ProcessIdentity;
  readonly uid: number | null;
  readonly limits: SandboxLimits;
}): Promise<void> {
  const { pid } = change.outermost;
  const own = change.uid === null ? {} : { uid: change.uid, gid: change.uid };
  const enter = ['-t', String(pid), '-U', '-m', '--preserve-credentials'];
  // Source and type are given, or mount(8) would repeat the present uid option, which has no name in that namespace.
  const remount = ['mount', '-n', '-i', '-t', 'tmpfs', '-o', `remount,${tmpOptions(change.limits)}`, 'tmp'];
  const child = spawn('nsenter', [...enter, ...remount, '/mnt/tmp'], {
    ...own,
    cwd: '/',
    env: { PATH: TOOLS_PATH },
    stdio: ['ignore', 'ignore', 'ignore'],
    timeout: REMOUNT_MS,
    killSignal: 'SIGKILL',
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (code !== 0) throw new Error(`the new limits of /tmp were not accepted (${code})`);
}
