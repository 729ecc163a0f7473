import { z } from 'zod';
import { MAX_TOKEN_CHARACTERS } from '../../auth/refusal.ts';
import { BerthError } from '../../contracts/errors.ts';
import type { TenantId } from '../../contracts/ids.ts';
import { functionNameSchema } from '../../contracts/ids.ts';
import { given } from '../given.ts';
import { type Route, route } from '../route.ts';
import { tenantParams } from '../schemas.ts';
import type { ApiServices } from '../services.ts';
import { json, tokenView } from '../views.ts';

const TEN_YEARS_SECONDS = 10 * 366 * 86_400;

const newToken = z.strictObject({
  scopes: z
    .array(z.enum(['manage', 'run']))
    .min(1)
    .max(2),
  fn: functionNameSchema.optional().describe('only for this function'),
  expiresInSeconds: z.number().int().min(1).max(TEN_YEARS_SECONDS).optional().describe('left out: never'),
});
/** A piece of a token would be remembered as an id, and the token itself stay good. */
const tokenIdSchema = z
  .string()
  .min(1)
  .max(256)
  .refine((id) => !/[\s\u0000-\u001f\u007f]/.test(id), 'an id (jti) has no white space')
  // base64url of `{"`, with which the header of every compact JWS and JWE begins (RFC 7515, 7516).
  .refine(
    (id) => !id.startsWith('eyJ'),
    'this is a piece of a token, not its id: give the whole token, or its id (jti)',
  );
const revocation = z.union([
  z.strictObject({ jti: tokenIdSchema }),
  z.strictObject({ token: z.string().min(1).max(MAX_TOKEN_CHARACTERS) }),
]);

export const tokenRoutes: readonly Route[] = [
  route({
    method: 'POST',
    path: '/v1/tokens/revoke',
    scope: 'operator',
    name: 'revokeIssuedToken',
    summary:
      "Revokes one token that the platform issued, the operator's own or any tenant's, by itself or by its id.",
    body: revocation,
    answers: { kind: 'nothing' },
    async handler({ services, body }) {
      const { jti, expiresAt } =
        'token' in body ? await idOf(services, null, body.token) : { jti: body.jti, expiresAt: null };
      await services.control.revokeToken(null, jti, expiresAt);
    },
  }),
  route({
    method: 'POST',
    path: '/v1/tenants/:tenant/tokens',
    scope: 'manage',
    name: 'issueToken',
    summary: 'Issues a token of this tenant.',
    params: tenantParams,
    body: newToken,
    answers: json(tokenView, 201),
    handler: ({ services: { control }, params, body: { scopes, fn, expiresInSeconds } }) =>
      control.issueToken(params.tenant, { scopes, ...given({ fn, expiresInSeconds }) }),
  }),
  route({
    method: 'POST',
    path: '/v1/tenants/:tenant/tokens/revoke',
    scope: 'manage',
    name: 'revokeToken',
    summary: 'Revokes one token of this tenant, by itself or by its id.',
    params: tenantParams,
    body: revocation,
    answers: { kind: 'nothing' },
    async handler({ services, params: { tenant }, body }) {
      const { jti, expiresAt } =
        'token' in body ? await idOf(services, tenant, body.token) : { jti: body.jti, expiresAt: null };
      await services.control.revokeToken(tenant, jti, expiresAt);
    },
  }),
  route({
    method: 'POST',
    path: '/v1/tenants/:tenant/tokens/revoke-all',
    scope: 'manage',
    name: 'revokeAllTokens',
    summary:
      'Refuses every token of this tenant that was issued until now, the one of this request included.',
    params: tenantParams,
    answers: { kind: 'nothing' },
    handler: ({ services: { control }, params }) => control.revokeAllTokens(params.tenant),
  }),
];

/** null: that the platform issued. @throws BerthError BAD_REQUEST when the token is not a good one of this tenant */
async function idOf(
  { verifier }: ApiServices,
  tenant: TenantId | null,
  token: string,
): Promise<{ readonly jti: string; readonly expiresAt: number | null }> {
  const principal = await verifier.verify(token, tenant).catch((error: unknown) => {
    // 401 would say that the caller's own token is bad.
    if (!(error instanceof BerthError) || error.code !== 'TOKEN_INVALID') throw error;
    throw new BerthError('BAD_REQUEST', { reason: 'body.token: it is not valid now' }, { cause: error });
  });
  if (tenant !== null && principal.tenant !== tenant) {
    throw new BerthError('BAD_REQUEST', { reason: 'body.token: it is not a token of this tenant' });
  }
  if (principal.tokenId === null)
    throw new BerthError('BAD_REQUEST', { reason: 'body.token: it has no id (jti)' });
  return { jti: principal.tokenId, expiresAt: principal.expiresAt };
}
