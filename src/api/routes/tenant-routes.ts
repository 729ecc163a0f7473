import { z } from 'zod';
import { egressPolicySchema } from '../../contracts/egress.ts';
import { tenantIdSchema } from '../../contracts/ids.ts';
import { isolationTiers } from '../../contracts/isolations.ts';
import { limitOverridesSchema } from '../../contracts/limits.ts';
import { given } from '../given.ts';
import { type Route, route } from '../route.ts';
import { displayNameSchema, pageQuery, tenantParams } from '../schemas.ts';
import { cutPage, json, listOf, pageOf, tenantView, usageView, viewTenant } from '../views.ts';

const MAX_USAGE_DAYS = 366;
const DEFAULT_USAGE_DAYS = 30;

const newTenant = z.strictObject({
  id: tenantIdSchema,
  name: displayNameSchema.optional(),
  limits: limitOverridesSchema.optional(),
  egress: egressPolicySchema.optional(),
  isolation: z.enum(isolationTiers).optional(),
});
const tenantChange = z.strictObject({
  name: displayNameSchema.optional(),
  state: z.enum(['active', 'suspended']).optional(),
  limits: limitOverridesSchema.optional(),
  egress: egressPolicySchema.optional(),
  isolation: z.enum(isolationTiers).optional().describe('its sandboxes are replaced'),
});
const usageQuery = z.strictObject({
  days: z.coerce.number().int().min(1).max(MAX_USAGE_DAYS).default(DEFAULT_USAGE_DAYS),
});

export const tenantRoutes: readonly Route[] = [
  route({
    method: 'POST',
    path: '/v1/tenants',
    scope: 'operator',
    name: 'createTenant',
    summary: 'Makes a tenant.',
    body: newTenant,
    answers: json(tenantView, 201),
    handler: async ({ services: { control }, body: { id, ...rest } }) =>
      viewTenant(await control.createTenant({ id, ...given(rest) }), control),
  }),
  route({
    method: 'GET',
    path: '/v1/tenants',
    scope: 'operator',
    name: 'listTenants',
    summary: 'Tenants by id.',
    query: pageQuery,
    answers: json(pageOf(tenantView)),
    async handler({ services: { control }, query: { after, limit } }) {
      const tenants = await control.listTenants({ limit: limit + 1, ...given({ after }) });
      const { items, next } = cutPage(tenants, limit, (tenant) => tenant.id);
      return { items: items.map((tenant) => viewTenant(tenant, control)), next };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/tenants/:tenant',
    scope: 'manage',
    name: 'getTenant',
    summary: 'One tenant with its own limits and those in force.',
    params: tenantParams,
    answers: json(tenantView),
    handler: async ({ services: { control }, params }) =>
      viewTenant(await control.getTenant(params.tenant), control),
  }),
  route({
    method: 'PATCH',
    path: '/v1/tenants/:tenant',
    scope: 'operator',
    name: 'updateTenant',
    summary:
      'Changes name, state, isolation, limits or egress; limits and egress are replaced as a whole and take effect at once.',
    params: tenantParams,
    body: tenantChange,
    answers: json(tenantView),
    handler: async ({ services: { control }, params, body }) =>
      viewTenant(await control.updateTenant(params.tenant, given(body)), control),
  }),
  route({
    method: 'GET',
    path: '/v1/tenants/:tenant/usage',
    scope: 'manage',
    name: 'getUsage',
    summary: 'What the tenant used in the last days (UTC), today included; written every few seconds.',
    params: tenantParams,
    query: usageQuery,
    answers: json(listOf(usageView)),
    handler: async ({ services: { control }, params, query }) => ({
      items: await control.usage(params.tenant, query.days),
    }),
  }),
  route({
    method: 'DELETE',
    path: '/v1/tenants/:tenant',
    scope: 'operator',
    name: 'deleteTenant',
    summary: 'Deletes a tenant and all that it owns; its sandboxes are killed.',
    params: tenantParams,
    answers: { kind: 'nothing' },
    handler: ({ services: { control }, params }) => control.deleteTenant(params.tenant),
  }),
];
