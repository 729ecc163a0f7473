import { z } from 'zod';
import { serviceNameSchema } from '../../contracts/ids.ts';
import { limitDefinitions } from '../../contracts/limits.ts';
import { given } from '../given.ts';
import { type Route, route } from '../route.ts';
import { serviceParams, tenantParams } from '../schemas.ts';
import { json, listOf, serviceView, viewService } from '../views.ts';

const services = '/v1/tenants/:tenant/services';
const one = `${services}/:service`;
const { floor, ceiling } = limitDefinitions.serviceMemoryBytes;

const newService = z.strictObject({
  kind: z.string().max(64).describe('one of the kinds that the operator offers, such as postgres or redis'),
  name: serviceNameSchema.optional().describe('left out: as its kind'),
  memoryBytes: z.int().min(floor).max(ceiling).optional().describe('left out: the limit serviceMemoryBytes'),
});

export const serviceRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: services,
    scope: 'manage',
    name: 'listServices',
    summary: "The tenant's services: programs that keep data for it alone.",
    params: tenantParams,
    answers: json(listOf(serviceView)),
    handler: async ({ services: { control }, params }) => ({
      items: (await control.listServices(params.tenant)).map(viewService),
    }),
  }),
  route({
    method: 'POST',
    path: services,
    scope: 'manage',
    name: 'createService',
    summary: 'Makes a service and starts it; its functions find address and password in their secrets.',
    params: tenantParams,
    body: newService,
    answers: json(serviceView, 201),
    handler: async ({ services: { control }, params, body }) => {
      const { kind, name, memoryBytes } = body;
      return viewService(
        await control.createService(params.tenant, { kind, ...given({ name, memoryBytes }) }),
      );
    },
  }),
  route({
    method: 'POST',
    path: `${one}/start`,
    scope: 'manage',
    name: 'startService',
    summary: 'Starts a service that was stopped.',
    params: serviceParams,
    answers: json(serviceView),
    handler: async ({ services: { control }, params }) =>
      viewService(await control.startService(params.tenant, params.service)),
  }),
  route({
    method: 'POST',
    path: `${one}/stop`,
    scope: 'manage',
    name: 'stopService',
    summary: 'Stops a service; what it keeps stays.',
    params: serviceParams,
    answers: json(serviceView),
    handler: async ({ services: { control }, params }) =>
      viewService(await control.stopService(params.tenant, params.service)),
  }),
  route({
    method: 'DELETE',
    path: one,
    scope: 'manage',
    name: 'deleteService',
    summary: 'Deletes a service with all that it keeps.',
    params: serviceParams,
    answers: { kind: 'nothing' },
    handler: ({ services: { control }, params }) => control.deleteService(params.tenant, params.service),
  }),
];
