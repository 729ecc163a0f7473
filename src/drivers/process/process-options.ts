/** How a process driver is made. */
import type { DriverLog } from '../driver-log.ts';

export interface ProcessOptions {
  /** Where records of live sandboxes and their temporary directories are. */
  readonly runDir: string;
  /** The Node binary that runs tenants' code. */
  readonly nodePath: string;
  /** The bundled runtime, one CommonJS file; started with the path of the channel's socket as its argument. */
  readonly runtimeFile: string;
  readonly log: DriverLog;
}
