import { z } from 'zod';
import { type Route, route } from '../route.ts';
import { functionParams, secretParams } from '../schemas.ts';
import { json, listOf } from '../views.ts';

const secrets = '/v1/tenants/:tenant/functions/:fn/secrets';

export const secretRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: secrets,
    scope: 'manage',
    name: 'listSecrets',
    summary: 'Names of the secrets. Values are never shown.',
    params: functionParams,
    answers: json(listOf(z.string())),
    handler: async ({ services: { control }, params }) => ({
      items: await control.listSecretNames(params.tenant, params.fn),
    }),
  }),
  route({
    method: 'PUT',
    path: `${secrets}/:secret`,
    scope: 'manage',
    name: 'setSecret',
    summary: 'Sets one secret; new requests see it.',
    params: secretParams,
    body: z.strictObject({ value: z.string() }),
    answers: { kind: 'nothing' },
    async handler({ services: { control }, params: { tenant, fn, secret }, body: { value } }) {
      await control.setSecret(tenant, fn, { name: secret, value });
    },
  }),
  route({
    method: 'DELETE',
    path: `${secrets}/:secret`,
    scope: 'manage',
    name: 'deleteSecret',
    summary: 'Deletes one secret.',
    params: secretParams,
    answers: { kind: 'nothing' },
    async handler({ services: { control }, params: { tenant, fn, secret } }) {
      await control.setSecret(tenant, fn, { name: secret, value: null });
    },
  }),
];
