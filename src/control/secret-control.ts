/** A function's secrets: written, named, handed to its sandbox; never listed with their values by the API. */
import { BerthError } from '../contracts/errors.ts';
import type { Control } from './control.ts';
import { type ControlDeps, what } from './control-deps.ts';
import { functionOf, limitsOf, settled } from './function-control.ts';
import { checkSecret } from './settings-rules.ts';

export function createSecretControl(
  deps: ControlDeps,
): Pick<Control, 'listSecretNames' | 'getSecrets' | 'setSecret'> {
  const { store } = deps;
  return {
    async listSecretNames(tenant, name) {
      await functionOf(deps, tenant, name);
      return Object.keys(await store.getSecrets(tenant, name)).sort();
    },
    async getSecrets(tenant, name) {
      await functionOf(deps, tenant, name);
      return store.getSecrets(tenant, name);
    },
    async setSecret(tenant, name, secret) {
      const limits = await limitsOf(deps, tenant);
      if (secret.value !== null) checkSecret(secret.name, secret.value, limits);
      else await mustHave(deps, { tenant, name, secret: secret.name });
      return settled(deps, await store.setSecret(tenant, name, { ...secret, max: limits.secrets }));
    },
  };
}

type Place = { readonly secret: string } & {
  readonly tenant: Parameters<Control['getSecrets']>[0];
  readonly name: Parameters<Control['getSecrets']>[1];
};

async function mustHave(deps: ControlDeps, { tenant, name, secret }: Place): Promise<void> {
  await functionOf(deps, tenant, name);
  if (!Object.hasOwn(await deps.store.getSecrets(tenant, name), secret)) {
    throw new BerthError('NOT_FOUND', { what: what.secret(secret) });
  }
}
