/** A sandbox as the Engine API wants it (ContainerCreate): every isolation in one place. */
import type { SandboxId } from '../../contracts/ids.ts';
import type { SandboxLimits, SandboxSpec } from '../driver.ts';
import type { ProcessIdentity } from '../process-identity.ts';
import { CHANNEL_PATH, NODE_PATH, RUNTIME_PATH, SOCKET_PATH } from '../root/root-entries.ts';
import { type ChannelWay, STDIO_ARGUMENT } from './docker-options.ts';

/** By these, containers are found again. */
export const containerLabels = {
  instance: 'berth.instance',
  sandbox: 'berth.sandbox',
  /** `<pid>:<start ticks>` of the platform that made it */
  platform: 'berth.platform',
  /** the kind of a service */
  service: 'berth.service',
} as const;

/** Whose a container is: it is removed when that platform lives no more. */
export function ownerLabels(owner: {
  readonly instance: string;
  readonly platform: ProcessIdentity;
}): Readonly<Record<string, string>> {
  const { instance, platform } = owner;
  return {
    [containerLabels.instance]: instance,
    [containerLabels.platform]: `${platform.pid}:${platform.startTicks}`,
  };
}

/** The engine's init (tini) reaps orphans and passes signals on: as first process of a namespace Node could not be killed. */
export const INIT_PROCESSES = 1;
/** Threads and processes of gVisor's kernel and its file server stand in the same cgroup as the tenant's. */
export const OWN_KERNEL_PROCESSES = 160;
/** When the host runs out of memory, sandboxes go before anything else. */
const OOM_SCORE_ADJUSTMENT = 500;
const NANOS_PER_MILLI_CORE = 1_000_000;

/** As in the jail. A core limit of one byte also keeps a core handler from being called, see core(5). */
export const resourceLimits = [
  { Name: 'core', Soft: 1, Hard: 1 },
  { Name: 'nofile', Soft: 4096, Hard: 4096 },
  { Name: 'memlock', Soft: 65_536, Hard: 65_536 },
  { Name: 'msgqueue', Soft: 0, Hard: 0 },
  { Name: 'sigpending', Soft: 1024, Hard: 1024 },
] as const;

/** What tells of the host. The first ones are Docker's own list, which this replaces. */
export const maskedPaths = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/interrupts',
  '/proc/cmdline',
  '/proc/key-users',
  '/sys',
];
/**
 * What the engine mounts and a jail does not have: pseudo-terminals, of which all containers of a host share 3072 (/dev/ptmx
 * leads to the folder), and message queues.
 */
const maskedDevices = ['/dev/pts', '/dev/mqueue'];
export const readOnlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** What has to be known of any container of ours while it lives. */
export interface ContainerBasis {
  readonly spec: Pick<SandboxSpec, 'id' | 'channelDir'>;
  readonly hasOwnKernel: boolean;
  readonly way: ChannelWay;
}

export interface ContainerPlan extends ContainerBasis {
  readonly spec: Pick<SandboxSpec, 'id' | 'channelDir' | 'limits'>;
  readonly image: string;
  readonly runtime: string;
  /** The host's. */
  readonly uid: number;
  /** What its number in the container is lower by. */
  readonly uidBase: number;
  readonly seccomp: string;
  /** Arguments of Node. */
  readonly command: readonly string[];
  readonly instance: string;
  readonly platform: ProcessIdentity;
}

export function containerName(id: SandboxId): string {
  return `berth-${id}`;
}

export function nodeCommand(way: ChannelWay, flags: readonly string[]): string[] {
  return [...flags, RUNTIME_PATH, way === 'stdio' ? STDIO_ARGUMENT : SOCKET_PATH];
}

export function containerConfig(plan: ContainerPlan): object {
  return {
    Image: plan.image,
    // Its environment and working directory are the image's; a name without a value is taken out.
    Env: ['HOSTNAME'],
    Entrypoint: [NODE_PATH],
    Cmd: plan.command,
    User: `${plan.uid - plan.uidBase}:${plan.uid - plan.uidBase}`,
    Hostname: 'sandbox',
    NetworkDisabled: true,
    ...streamsConfig(plan.way),
    Labels: {
      ...ownerLabels(plan),
      [containerLabels.sandbox]: plan.spec.id,
    },
    HostConfig: { ...isolation(plan), ...mounts(plan), ...limitsConfig(plan.spec.limits, plan) },
  };
}

export function streamsConfig(way: ChannelWay): object {
  const isStdio = way === 'stdio';
  return {
    Tty: false,
    AttachStderr: true,
    AttachStdin: isStdio,
    AttachStdout: isStdio,
    OpenStdin: isStdio,
    StdinOnce: isStdio,
  };
}

/** What `update` of a live container takes, too. Memory and swap together are memory: there is no swap. */
export function limitsConfig(limits: SandboxLimits, { hasOwnKernel }: { hasOwnKernel: boolean }): object {
  return {
    Memory: limits.memoryBytes,
    MemorySwap: limits.memoryBytes,
    NanoCpus: limits.cpuMillis * NANOS_PER_MILLI_CORE,
    PidsLimit: limits.pids + ownProcesses(hasOwnKernel),
  };
}

/** Processes in the cgroup that are none of the tenant's. */
export function ownProcesses(hasOwnKernel: boolean): number {
  return hasOwnKernel ? OWN_KERNEL_PROCESSES : INIT_PROCESSES;
}

function isolation({ runtime, seccomp }: ContainerPlan): object {
  return {
    Runtime: runtime,
    NetworkMode: 'none',
    // None: not even a /dev/shm of its own, which would be a second place to write to.
    IpcMode: 'none',
    CgroupnsMode: 'private',
    Privileged: false,
    ReadonlyRootfs: true,
    CapDrop: ['ALL'],
    SecurityOpt: ['no-new-privileges', `seccomp=${seccomp}`],
    MaskedPaths: [...maskedPaths, ...maskedDevices],
    ReadonlyPaths: readOnlyPaths,
    Ulimits: resourceLimits,
    OomScoreAdj: OOM_SCORE_ADJUSTMENT,
    Init: true,
    LogConfig: { Type: 'none' },
    RestartPolicy: { Name: 'no' },
  };
}

function mounts({ spec, way }: ContainerPlan): object {
  const { channelDir, limits } = spec;
  return {
    Mounts: channelMounts({ channelDir, way }),
    Tmpfs: { '/tmp': tmpOptions(limits) },
    // Else the host's resolv.conf would show.
    Dns: ['127.0.0.1'],
    DnsSearch: ['.'],
  };
}

export function channelMounts(channel: {
  readonly channelDir: string;
  readonly way: ChannelWay;
}): readonly object[] {
  if (channel.way === 'stdio') return [];
  const BindOptions = { Propagation: 'rprivate' };
  return [{ Type: 'bind', Source: channel.channelDir, Target: CHANNEL_PATH, ReadOnly: true, BindOptions }];
}

function tmpOptions({ tmpBytes, tmpInodes }: SandboxLimits): string {
  return `rw,exec,nosuid,nodev,size=${tmpBytes},nr_inodes=${tmpInodes},mode=1777`;
}
