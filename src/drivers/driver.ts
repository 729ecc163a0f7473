/**
 * A driver makes sandboxes, changes their limits, says where they are and destroys them. Everything that crosses this
 * interface is data, so that a driver can live in another process (the supervisor). Verbs are idempotent.
 * Every driver passes `test/contract/driver-suite.ts`.
 */
import type { SandboxId, VolumeId } from '../contracts/ids.ts';
import type { Isolation, IsolationTier } from '../contracts/isolations.ts';

/** A driver lists in its facts the isolations that it cannot give on this host. */
export { isolations, type Isolation, type IsolationTier } from '../contracts/isolations.ts';

export const driverNames = ['jail', 'docker', 'process'] as const;
export type DriverName = (typeof driverNames)[number];

export interface DriverFacts {
  readonly driver: DriverName;
  /** False when no sandbox can be made at all; `reason` then says why and what to do. */
  readonly isUsable: boolean;
  readonly reason: string | null;
  /** Isolations that one of the runtimes cannot give on this host, each with the reason in words for the operator. */
  readonly gaps: ReadonlyMap<Isolation, string>;
  readonly cgroupVersion: 1 | 2 | null;
  /** What makes the sandboxes of each tier; a tier without one cannot be had here. */
  readonly runtimes: { readonly [tier in IsolationTier]: RuntimeFacts | null };
  /** What Node sandboxes can be made with (`24.21.0`), one for each major version; the platform's own is the first. */
  readonly nodeVersions: readonly string[];
}

export interface RuntimeFacts {
  /** `bubblewrap`, `runc`, `runsc`, … */
  readonly name: string;
  /** System calls of the sandbox end in a kernel of its own, not in the host's. */
  readonly hasOwnKernel: boolean;
  readonly gaps: ReadonlyMap<Isolation, string>;
  /** Limits that a live sandbox keeps as they are: for others a new one has to be made. */
  readonly fixedLimits: readonly (keyof SandboxLimits)[];
  /** `freeze` and `thaw` do something. */
  readonly canFreeze: boolean;
}

/** What a sandbox is, from its first moment to its last. */
export interface SandboxKind {
  readonly isolation: IsolationTier;
  /** Major version of the Node that it runs. */
  readonly nodeMajor: number;
}

export interface SandboxLimits {
  readonly memoryBytes: number;
  /** thousandths of a core */
  readonly cpuMillis: number;
  readonly pids: number;
  readonly tmpBytes: number;
  readonly tmpInodes: number;
}

export interface SandboxSpec {
  readonly id: SandboxId;
  /** Host directory that belongs to this sandbox alone and holds `channel.sock`, on which the caller listens already.
   *  The driver gives the sandbox the right to connect (own uid) and shows it as `/berth/channel`. */
  readonly channelDir: string;
  readonly limits: SandboxLimits;
  /** V8 old-space limit in MiB; fixed for the life of the process. */
  readonly heapMb: number;
  /** One that `facts` offers. */
  readonly kind: SandboxKind;
}

/** A service: a program of an image that the operator listed, with a volume that outlives it. */
export interface ServiceSpec {
  /** Of the container, as a sandbox has one; another one at each start. */
  readonly id: SandboxId;
  /** As a sandbox's. What connects is the keeper of the service (src/keeper). */
  readonly channelDir: string;
  /** One of the kinds in the platform's settings: image, command and place of the data come from there. */
  readonly kind: string;
  readonly volume: VolumeId;
  readonly isolation: IsolationTier;
  readonly memoryBytes: number;
}

export interface SandboxExit {
  readonly id: SandboxId;
  readonly code: number | null;
  readonly signal: string | null;
  /** The kernel killed something in it for memory, or V8 gave up for lack of heap. */
  readonly outOfMemory: boolean;
  /** The end of what the sandbox wrote to descriptor 2, at most 4 KiB; hostile text. */
  readonly stderrTail: string;
}

/** What the main thread of the sandbox does, from the host's view of its process. */
export type ThreadState = 'running' | 'sleeping' | 'stopped' | 'gone';

export interface SandboxUsage {
  readonly cpuMicros: number;
  readonly memoryBytes: number;
  readonly pids: number;
  readonly mainThread: ThreadState;
  /** CPU of the main thread alone, without other threads and child processes; null where that does not show. */
  readonly mainThreadMicros: number | null;
  /** Time in which the main thread wanted to run and the host gave it no core; 0 where that does not show. */
  readonly starvedMicros: number;
}

/** One call frame of the code that runs, 1-based; hostile text, length-limited. */
export interface StackFrame {
  readonly functionName: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface VolumeSize {
  readonly volume: VolumeId;
  readonly bytes: number;
}

export interface Driver {
  readonly name: DriverName;
  /** Looks at the host once and says what it can give. Repeatable. */
  facts(): Promise<DriverFacts>;
  /** Looks anew at what sandboxes are made of (a patched Node); those made from now on have it. @returns the facts of now */
  refresh(): Promise<DriverFacts>;
  /** Makes a sandbox; resolves when its process runs with every limit in force (not: when the runtime is ready).
   *  @throws BerthError SANDBOX_START_FAILED; nothing is left over then. Aborting destroys it. */
  create(spec: SandboxSpec, signal: AbortSignal): Promise<void>;
  /** Changes limits of a live sandbox; unknown id: nothing happens.
   *  @throws Error when it lives on and not all of them are in force (those that could be applied are) */
  update(id: SandboxId, limits: SandboxLimits): Promise<void>;
  /** From now on none of its processes gets any CPU; resolves when the kernel has been told. Of `freeze` and `thaw` the one that
   *  was called last holds. Does nothing where the runtime cannot, or the sandbox is unknown. A frozen one can be destroyed. */
  freeze(id: SandboxId): Promise<void>;
  /** It goes on where it was. @throws Error when it is still frozen */
  thaw(id: SandboxId): Promise<void>;
  /** @returns null when there is no such sandbox */
  usage(id: SandboxId): Promise<SandboxUsage | null>;
  /** Where the main thread spins, innermost frame first; [] when it cannot be told within `LOCATE_MS` (two seconds). Asked of one
   *  that is about to be destroyed. */
  locate(id: SandboxId): Promise<readonly StackFrame[]>;
  /** Kills the whole tree; resolves when no process and no cgroup of it is left. Idempotent. */
  destroy(id: SandboxId): Promise<void>;
  /**
   * Makes the container of a service, and its volume where there is none yet; resolves when the keeper runs. It is
   * destroyed as a sandbox is, but gets some seconds to end by itself. A volume may be in one container at a time.
   * @throws BerthError SERVICES_UNAVAILABLE, SERVICE_IMAGE_MISSING, SERVICE_START_FAILED; nothing runs then
   */
  startService(spec: ServiceSpec, signal: AbortSignal): Promise<void>;
  /** What a service kept is gone for good. Its container is not there any more. Idempotent. */
  removeVolume(volume: VolumeId): Promise<void>;
  /**
   * What services keep, in bytes on the disk; those that run and those that do not. Looking costs the engine as much as
   * there are files: asked again within a minute it answers what it has seen. @throws Error when it cannot be told
   */
  volumeSizes(): Promise<readonly VolumeSize[]>;
  /** Called once for each created sandbox when its tree has ended, whoever ended it. Set before the first create. */
  onExit(listener: (exit: SandboxExit) => void): void;
  /** Removes what an earlier platform on the same run directory left over (processes, cgroups, directories). @returns ids removed */
  recover(): Promise<readonly SandboxId[]>;
  /** Destroys all sandboxes and removes what the driver made on the host. */
  close(): Promise<void>;
}
