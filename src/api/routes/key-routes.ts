import { z } from 'zod';
import { given } from '../given.ts';
import { type Route, route } from '../route.ts';
import { keyIdSchema, keyParams, tenantParams } from '../schemas.ts';
import { json, keyView, listOf } from '../views.ts';

const newKey = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.enum(['hs256', 'jwe']),
    id: keyIdSchema.optional(),
    secret: z
      .string()
      .max(2_048)
      .optional()
      .describe('base64url: 32 bytes, hs256 up to 1024; left out: made here'),
  }),
  z.strictObject({ kind: z.literal('jwks'), id: keyIdSchema.optional(), url: z.string().max(2_048) }),
]);

export const keyRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/tenants/:tenant/keys',
    scope: 'manage',
    name: 'listKeys',
    summary: "The tenant's own keys, without their secrets.",
    params: tenantParams,
    answers: json(listOf(keyView)),
    handler: async ({ services: { control }, params }) => ({ items: await control.listKeys(params.tenant) }),
  }),
  route({
    method: 'POST',
    path: '/v1/tenants/:tenant/keys',
    scope: 'manage',
    name: 'addKey',
    summary: "Adds a key with which the tenant's back end signs (hs256, jwks) or encrypts (jwe) tokens.",
    params: tenantParams,
    body: newKey,
    answers: json(keyView, 201),
    handler: ({ services: { control }, params, body }) =>
      control.addKey(
        params.tenant,
        body.kind === 'jwks'
          ? { kind: body.kind, url: body.url, ...given({ id: body.id }) }
          : { kind: body.kind, ...given({ id: body.id, secret: body.secret }) },
      ),
  }),
  route({
    method: 'DELETE',
    path: '/v1/tenants/:tenant/keys/:key',
    scope: 'manage',
    name: 'revokeKey',
    summary: 'Revokes a key: tokens made with it are refused at once.',
    params: keyParams,
    answers: { kind: 'nothing' },
    handler: ({ services: { control }, params }) => control.revokeKey(params.tenant, params.key),
  }),
];
