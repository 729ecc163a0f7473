/** Facts of a driver that gives everything, but for what a test takes away. */
import type { DriverFacts, DriverName, Isolation, RuntimeFacts } from '../driver.ts';
import { ownNodeVersion } from '../facts.ts';

export interface TestFacts {
  readonly driver?: DriverName;
  readonly gaps?: ReadonlyMap<Isolation, string>;
  readonly fixedLimits?: RuntimeFacts['fixedLimits'];
  readonly canFreeze?: boolean;
  readonly hasHardened?: boolean;
  readonly nodeVersions?: readonly string[];
}

export function factsOf(test: TestFacts = {}): DriverFacts {
  const gaps = test.gaps ?? new Map();
  const { fixedLimits = [], canFreeze = false, driver = 'jail', nodeVersions = [ownNodeVersion] } = test;
  const runtime = { name: 'test', hasOwnKernel: false, gaps, fixedLimits, canFreeze };
  return {
    driver,
    isUsable: true,
    reason: null,
    gaps,
    cgroupVersion: null,
    runtimes: { standard: runtime, hardened: test.hasHardened === true ? runtime : null },
    nodeVersions,
  };
}
