/** Auth over the store: the key ring and the list of revoked tokens follow the store's changes at once. */
import { createJwksFetch, type JwksFetchOptions } from '../auth/jwks/jwks-fetch.ts';
import { JwksCache } from '../auth/jwks/jwks-cache.ts';
import { KeyRing } from '../auth/key-ring.ts';
import { ensurePlatformKey } from '../auth/platform-keys.ts';
import type { CachedTokenVerifier, TokenIssuer } from '../auth/principal.ts';
import { RevocationList } from '../auth/revocation-list.ts';
import { createTokenIssuer } from '../auth/token-issuer.ts';
import { createTokenVerifier } from '../auth/token-verifier.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Store } from '../store/store.ts';

export interface AuthParts {
  readonly verifier: CachedTokenVerifier;
  readonly issuer: TokenIssuer;
  readonly revoked: RevocationList;
}

export async function createAuth(
  store: Store,
  { clock, jwks: jwksOptions }: { readonly clock: Clock; readonly jwks: JwksFetchOptions },
): Promise<AuthParts> {
  await ensurePlatformKey({ store, clock });
  const ring = new KeyRing(store);
  const revoked = new RevocationList({ clock });
  revoked.load(await store.listRevokedTokens(clock.now()));
  store.onChange((change) => {
    if (change.kind === 'keys' || change.kind === 'tenant') ring.refresh(change.tenant);
    else if (change.kind === 'token-revoked') revoked.add(change);
  });
  const jwks = new JwksCache({ fetch: createJwksFetch(jwksOptions), clock });
  return {
    verifier: createTokenVerifier({ ring, revoked, jwks, clock }),
    issuer: createTokenIssuer({ ring, clock }),
    revoked,
  };
}
