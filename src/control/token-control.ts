/** Tokens of a tenant: issued, revoked one by one or all at once. */
import { ownTokenId, ownTokenPrefix } from '../auth/revocation-list.ts';
import { BerthError } from '../contracts/errors.ts';
import type { TenantId } from '../contracts/ids.ts';
import type { Control } from './control.ts';
import type { ControlDeps } from './control-deps.ts';
import { limitsOf } from './function-control.ts';
import { tenantOf } from './tenant-control.ts';

const MAX_TOKEN_ID_CHARACTERS = 256;

export function createTokenControl(
  deps: ControlDeps,
): Pick<Control, 'issueToken' | 'revokeToken' | 'revokeAllTokens'> {
  return {
    async issueToken(tenant, { scopes, fn, expiresInSeconds }) {
      await tenantOf(deps, tenant);
      return deps.issuer.issue({
        tenant,
        scopes,
        ...(fn === undefined ? {} : { fn }),
        ...(expiresInSeconds === undefined ? {} : { expiresInSeconds }),
      });
    },
    async revokeToken(tenant, jti, expiresAt) {
      if (jti === '' || jti.length > MAX_TOKEN_ID_CHARACTERS || !jti.isWellFormed()) {
        throw new BerthError('BAD_REQUEST', {
          reason: `a token id has 1-${MAX_TOKEN_ID_CHARACTERS} characters`,
        });
      }
      // Who verifies hears of it from the store before this resolves.
      if (tenant === null) return deps.store.revokeToken(jti, expiresAt);
      const { revokedTokens: max } = await limitsOf(deps, tenant);
      // Under the tenant's own name: no id of a tenant's choosing can meet another tenant's token.
      await deps.store.revokeToken(ownTokenId(tenant, jti), expiresAt, {
        prefix: ownTokenPrefix(tenant),
        max,
      });
    },
    revokeAllTokens: (tenant) => revokeAll(deps, tenant),
  };
}

/**
 * Tokens say when they were issued in whole seconds (RFC 7519, iat). So the limit is the next whole second, which
 * catches those of this second too, and this waits until then: a token issued after it returns is good.
 */
async function revokeAll(deps: ControlDeps, tenant: TenantId): Promise<void> {
  const now = deps.clock.now();
  const tokensValidFrom = (Math.floor(now / 1000) + 1) * 1000;
  await deps.store.updateTenant(tenant, { tokensValidFrom });
  await deps.directorySettled();
  await deps.sleep(tokensValidFrom - now);
}
