/** Puts the parts of control together. */
import type { Control } from './control.ts';
import type { ControlDeps } from './control-deps.ts';
import { createFunctionControl } from './function-control.ts';
import { createKeyControl } from './key-control.ts';
import { createSecretControl } from './secret-control.ts';
import { createServiceControl } from './service-control.ts';
import { createTenantControl } from './tenant-control.ts';
import { createTokenControl } from './token-control.ts';

/** Holds nothing that needs closing; `deps` belong to the caller. */
export function createControl(deps: ControlDeps): Control {
  return {
    ...createTenantControl(deps),
    ...createFunctionControl(deps),
    ...createSecretControl(deps),
    ...createServiceControl(deps),
    ...createKeyControl(deps),
    ...createTokenControl(deps),
    async rollout() {
      const { nodeVersions } = await deps.sandboxes.rollout();
      return { nodeVersions };
    },
  };
}
