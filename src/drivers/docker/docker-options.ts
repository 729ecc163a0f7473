/** How a Docker driver is made. */
import type { IsolationTier } from '../../contracts/isolations.ts';
import type { ServiceKinds } from '../../contracts/services.ts';
import type { DriverLog } from '../driver-log.ts';
import type { UidRange } from '../uid-pool.ts';

/** How frames get into and out of a container: over a mounted Unix socket, or on its descriptors 0 and 1. */
export const channelWays = ['socket', 'stdio'] as const;
export type ChannelWay = (typeof channelWays)[number];

export interface DockerOptions {
  /** Where the engine listens: `unix:///var/run/docker.sock`. */
  readonly host: string;
  /** Name of the OCI runtime for each tier, as the engine knows it; null: that tier is not offered. */
  readonly runtimes: { readonly [tier in IsolationTier]: string | null };
  /** `auto`: the socket where it can be mounted. An engine that cannot do what else is asked for is not usable. */
  readonly channel: 'auto' | ChannelWay;
  /** Tells the containers of this installation from others on the same engine; the same after each start. */
  readonly instance: string;
  /** Where records of live sandboxes are; channel directories lie in it, too. */
  readonly runDir: string;
  /** Node binaries that images are made from, the platform's own first; asked anew at each `refresh`. */
  readonly nodePaths: () => readonly string[];
  /** The bundled runtime, one CommonJS file; started with the path of the channel's socket, or `-`, as its argument. */
  readonly runtimeFile: string;
  /** What services there can be, and the bundled keeper that runs beside each. */
  readonly services: { readonly kinds: ServiceKinds; readonly keeperFile: string };
  readonly log: DriverLog;
  /** Host uids (and gids of the same numbers) for sandboxes. */
  readonly uidRange?: UidRange;
}

/** Besides the jail's, so that both drivers can run on one host. */
export const DOCKER_UID_RANGE: UidRange = { first: 400_000, count: 65_536 };
/** Of services: each has one of its own for as long as it has its volume. Behind those of sandboxes. */
export const SERVICE_UID_RANGE: UidRange = { first: 470_000, count: 4_096 };
/** In the containers of an engine with userns-remap, where there are no numbers as high as those. */
export const REMAPPED_UIDS: UidRange = { first: 4_096, count: 57_344 };
/** Of services there: between those and 65534, who is nobody. */
export const REMAPPED_SERVICE_UIDS: UidRange = { first: 61_440, count: 4_094 };
/** What the runtime is told in place of a socket's path (`STDIO` in runtime/channel-ends.ts): speak on descriptors 0 and 1. */
export const STDIO_ARGUMENT = '-';
