/** How a jail driver is made. */
import type { DriverLog } from '../driver-log.ts';
import type { UidRange } from '../uid-pool.ts';

export interface JailOptions {
  /** Where records of live sandboxes are; channel directories lie in it, too. Sandboxes' uids must be able to pass through
   *  it, and its path shows in the sandbox (mountinfo): choose a neutral one such as /run/berth-…. */
  readonly runDir: string;
  /** Where the root file system of sandboxes is prepared, on disk: about 5 MB, and Node's 120 MB where it cannot be hard-linked.
   *  A cache: it stays when the driver is closed. May lie anywhere; its path does not show. */
  readonly rootDir: string;
  /** The Node binary that runs tenants' code. */
  readonly nodePath: string;
  /** The bundled runtime, one CommonJS file; started with the path of the channel's socket as its argument. */
  readonly runtimeFile: string;
  readonly log: DriverLog;
  /** Host uids (and gids of the same numbers) for sandboxes, when run as root. */
  readonly uidRange?: UidRange;
  /** Time that making a sandbox may take. */
  readonly startMs?: number;
}

export const DEFAULT_UID_RANGE: UidRange = { first: 300_000, count: 65_536 };
export const DEFAULT_START_MS = 10_000;

/** Where the tools of Debian's util-linux, mount and bubblewrap are looked for; also the PATH of the start scripts. */
export const TOOL_DIRECTORIES = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'] as const;
export const TOOLS_PATH = TOOL_DIRECTORIES.join(':');
