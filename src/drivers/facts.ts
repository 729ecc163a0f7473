/** Facts that several drivers share. */
import type { DriverFacts, DriverName, SandboxKind } from './driver.ts';

/** Of the Node that runs the platform, and, without images of others, the sandboxes. */
export const ownNodeVersion: string = process.versions.node;
export const ownNodeMajor: number = Number.parseInt(ownNodeVersion, 10);
export const ownKind: SandboxKind = { isolation: 'standard', nodeMajor: ownNodeMajor };

/** No sandbox can be made. @param reason why, and what to do */
export function unusable(driver: DriverName, reason: string): DriverFacts {
  return {
    driver,
    isUsable: false,
    reason,
    gaps: new Map(),
    cgroupVersion: null,
    runtimes: { standard: null, hardened: null },
    nodeVersions: [],
  };
}
