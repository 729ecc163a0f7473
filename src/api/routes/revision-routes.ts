import { type Route, route } from '../route.ts';
import { functionParams, revisionParams } from '../schemas.ts';
import { functionView, json, listOf, revisionView, viewFunction, viewRevision } from '../views.ts';

const revisions = '/v1/tenants/:tenant/functions/:fn/revisions';

export const revisionRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: revisions,
    scope: 'manage',
    name: 'listRevisions',
    summary: 'Revisions, newest first.',
    params: functionParams,
    answers: json(listOf(revisionView)),
    async handler({ services: { control }, params }) {
      const [fn, all] = await Promise.all([
        control.getFunction(params.tenant, params.fn),
        control.listRevisions(params.tenant, params.fn),
      ]);
      return { items: all.map((revision) => viewRevision(revision, fn.activeRevision)) };
    },
  }),
  route({
    method: 'GET',
    path: `${revisions}/:revision`,
    scope: 'manage',
    name: 'getRevision',
    summary: 'One revision.',
    params: revisionParams,
    answers: json(revisionView),
    async handler({ services: { control }, params }) {
      const fn = await control.getFunction(params.tenant, params.fn);
      const revision = await control.getRevision(params.tenant, params.fn, params.revision);
      return viewRevision(revision, fn.activeRevision);
    },
  }),
  route({
    method: 'GET',
    path: `${revisions}/:revision/source`,
    scope: 'manage',
    name: 'getSource',
    summary: 'The code as it was deployed.',
    params: revisionParams,
    answers: { kind: 'text', mediaType: 'text/plain; charset=utf-8' },
    handler: ({ services: { control }, params }) =>
      control.getSource(params.tenant, params.fn, params.revision),
  }),
  route({
    method: 'POST',
    path: `${revisions}/:revision/activate`,
    scope: 'manage',
    name: 'activateRevision',
    summary: 'Makes this revision the one that answers.',
    params: revisionParams,
    answers: json(functionView),
    handler: async ({ services: { control }, params, origin }) =>
      viewFunction(await control.activate(params.tenant, params.fn, params.revision), origin),
  }),
  route({
    method: 'POST',
    path: '/v1/tenants/:tenant/functions/:fn/rollback',
    scope: 'manage',
    name: 'rollbackFunction',
    summary: 'Activates the revision before the active one.',
    params: functionParams,
    answers: json(functionView),
    handler: async ({ services: { control }, params, origin }) =>
      viewFunction(await control.rollback(params.tenant, params.fn), origin),
  }),
];
