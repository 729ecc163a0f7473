import { z } from 'zod';
import { type Route, route } from '../route.ts';
import { given } from '../given.ts';
import { deployBody, deployQuery, deployRequestOf } from '../deploy-request.ts';
import { accessSchema, functionParams, pageQuery, stringMap, tenantParams } from '../schemas.ts';
import {
  cutPage,
  functionView,
  json,
  pageOf,
  revisionView,
  urlOf,
  viewFunction,
  viewRevision,
} from '../views.ts';

const functionChange = z.strictObject({
  access: accessSchema.optional(),
  env: stringMap.optional(),
  meta: stringMap.optional(),
});
const deployedView = z.object({
  function: functionView,
  revision: revisionView,
  url: z.string(),
  form: z.string(),
  warnings: z.array(z.string()),
});
const FORM_UNDECIDED =
  'the text does not tell how the code wants to be called, so the runtime decides when it loads; set the form by hand to be sure';

export const functionRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/tenants/:tenant/functions',
    scope: 'manage',
    name: 'listFunctions',
    summary: 'Functions by name.',
    params: tenantParams,
    query: pageQuery,
    answers: json(pageOf(functionView)),
    async handler({ services: { control }, params, query: { after, limit }, origin }) {
      const functions = await control.listFunctions(params.tenant, { limit: limit + 1, ...given({ after }) });
      const { items, next } = cutPage(functions, limit, (fn) => fn.name);
      return { items: items.map((fn) => viewFunction(fn, origin)), next };
    },
  }),
  route({
    method: 'PUT',
    path: '/v1/tenants/:tenant/functions/:fn',
    scope: 'manage',
    name: 'deployFunction',
    summary:
      'Deploys: the body is JSON, or the code itself (any other content type) with its settings in the query. Atomic; the answer comes when the next request gets the new revision.',
    params: functionParams,
    query: deployQuery,
    body: deployBody,
    takesCode: true,
    answers: json(deployedView),
    async handler({ services: { control }, params, query, body, raw, origin }) {
      const request = deployRequestOf(query, raw ?? body);
      const { fn, revision } = await control.deploy({ tenant: params.tenant, fn: params.fn, ...request });
      return {
        function: viewFunction(fn, origin),
        revision: viewRevision(revision, fn.activeRevision),
        url: urlOf(fn, origin),
        form: revision.form,
        warnings: revision.form === 'auto' ? [FORM_UNDECIDED] : [],
      };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/tenants/:tenant/functions/:fn',
    scope: 'manage',
    name: 'getFunction',
    summary: 'One function.',
    params: functionParams,
    answers: json(functionView),
    handler: async ({ services: { control }, params, origin }) =>
      viewFunction(await control.getFunction(params.tenant, params.fn), origin),
  }),
  route({
    method: 'PATCH',
    path: '/v1/tenants/:tenant/functions/:fn',
    scope: 'manage',
    name: 'updateFunction',
    summary: 'Changes access, env or meta; env and meta are replaced as a whole.',
    params: functionParams,
    body: functionChange,
    answers: json(functionView),
    handler: async ({ services: { control }, params, body, origin }) =>
      viewFunction(await control.updateFunction(params.tenant, params.fn, given(body)), origin),
  }),
  route({
    method: 'DELETE',
    path: '/v1/tenants/:tenant/functions/:fn',
    scope: 'manage',
    name: 'deleteFunction',
    summary: 'Deletes a function with its revisions and secrets.',
    params: functionParams,
    answers: { kind: 'nothing' },
    handler: ({ services: { control }, params }) => control.deleteFunction(params.tenant, params.fn),
  }),
];
