/**
 * A service as the Engine API wants it (ContainerCreate). Its tenant may come to run programs in it (SQL can), so it has
 * the walls of a sandbox: no network, no capabilities, a read-only root, a user of its own, limits. What differs is what
 * programs not made for us need: the engine's own seccomp policy, shared memory, more than one folder to write in.
 */
import type { ServiceDefinition } from '../../contracts/services.ts';
import type { ServiceSpec } from '../driver.ts';
import type { ProcessIdentity } from '../process-identity.ts';
import { SOCKET_PATH } from '../root/root-entries.ts';
import {
  channelMounts,
  type ContainerBasis,
  containerLabels,
  ownerLabels,
  limitsConfig,
  maskedPaths,
  readOnlyPaths,
  resourceLimits,
  streamsConfig,
} from './container-config.ts';
import { STDIO_ARGUMENT } from './docker-options.ts';
import type { ImageProgram } from './engine-images.ts';
import { KEEPER_PATH, keeperCommand } from './keeper-files.ts';

/** For a database to end in order: its last words on the disk. */
export const SERVICE_GRACE_SECONDS = 8;

const MiB = 1024 * 1024;
const SHARED_MEMORY_BYTES = 64 * MiB;
const SCRATCH_BYTES = 64 * MiB;
const SCRATCH_INODES = 4_096;
const SCRATCH_OPTIONS = `rw,noexec,nosuid,nodev,size=${SCRATCH_BYTES},nr_inodes=${SCRATCH_INODES},mode=1777`;
/** Besides memory, the same for all. */
export const serviceLimits = {
  cpuMillis: 1_000,
  pids: 256,
  tmpBytes: SCRATCH_BYTES,
  tmpInodes: SCRATCH_INODES,
} as const;
const DESCRIPTORS = 16_384;
/** Between the host's own and sandboxes, which go first. */
const OOM_SCORE_ADJUSTMENT = 300;

export interface ServicePlan extends ContainerBasis {
  readonly spec: ServiceSpec;
  readonly definition: ServiceDefinition;
  readonly program: ImageProgram;
  readonly runtime: string;
  /** The host's. */
  readonly uid: number;
  /** What its number in the container is lower by. */
  readonly uidBase: number;
  readonly volume: string;
  readonly keeper: { readonly volume: string; readonly loader: string };
  readonly instance: string;
  readonly platform: ProcessIdentity;
}

export function serviceConfig(plan: ServicePlan): object {
  const { spec, definition, program, keeper, way } = plan;
  const place = way === 'stdio' ? STDIO_ARGUMENT : SOCKET_PATH;
  const command = [...program.entrypoint, ...(definition.command ?? program.command)];
  const user = plan.uid - plan.uidBase;
  const [first, ...rest] = keeperCommand(keeper.loader, [place, String(definition.port), '--', ...command]);
  return {
    Image: program.id,
    // A name without a value is taken out: options of Node would be the keeper's.
    Env: ['HOSTNAME', 'NODE_OPTIONS'],
    Entrypoint: [first],
    Cmd: rest,
    User: `${user}:${user}`,
    Hostname: 'service',
    NetworkDisabled: true,
    ...streamsConfig(way),
    Labels: {
      ...ownerLabels(plan),
      [containerLabels.sandbox]: spec.id,
      [containerLabels.service]: spec.kind,
    },
    HostConfig: { ...isolation(plan), ...mounts(plan), ...limits(plan) },
  };
}

function isolation({ runtime }: ServicePlan): object {
  return {
    Runtime: runtime,
    NetworkMode: 'none',
    IpcMode: 'private',
    ShmSize: SHARED_MEMORY_BYTES,
    CgroupnsMode: 'private',
    Privileged: false,
    ReadonlyRootfs: true,
    CapDrop: ['ALL'],
    SecurityOpt: ['no-new-privileges'],
    MaskedPaths: maskedPaths,
    ReadonlyPaths: readOnlyPaths,
    Ulimits: resourceLimits.map((one) =>
      one.Name === 'nofile' ? { ...one, Soft: DESCRIPTORS, Hard: DESCRIPTORS } : one,
    ),
    OomScoreAdj: OOM_SCORE_ADJUSTMENT,
    Init: true,
    LogConfig: { Type: 'none' },
    RestartPolicy: { Name: 'no' },
  };
}

function mounts({ spec, way, volume, keeper, definition }: ServicePlan): object {
  // Its owner is set by us; the engine would copy the image's.
  const VolumeOptions = { NoCopy: true };
  return {
    Mounts: [
      ...channelMounts({ channelDir: spec.channelDir, way }),
      { Type: 'volume', Source: keeper.volume, Target: KEEPER_PATH, ReadOnly: true, VolumeOptions },
      { Type: 'volume', Source: volume, Target: definition.dataPath, ReadOnly: false, VolumeOptions },
    ],
    Tmpfs: { '/tmp': SCRATCH_OPTIONS, '/run': SCRATCH_OPTIONS },
    Dns: ['127.0.0.1'],
    DnsSearch: ['.'],
  };
}

function limits({ spec, hasOwnKernel }: ServicePlan): object {
  return limitsConfig({ memoryBytes: spec.memoryBytes, ...serviceLimits }, { hasOwnKernel });
}
