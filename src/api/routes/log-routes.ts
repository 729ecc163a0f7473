import { z } from 'zod';
import { functionNameSchema } from '../../contracts/ids.ts';
import { given } from '../given.ts';
import { streamLogs } from '../log-stream.ts';
import { type Route, route } from '../route.ts';
import { limitSchema, tenantParams } from '../schemas.ts';
import { json, logView, viewLog } from '../views.ts';

const historyQuery = z.strictObject({
  function: functionNameSchema.optional(),
  invocation: z.string().min(1).max(128).optional(),
  since: z.coerce.number().int().min(0).optional().describe('milliseconds since 1970'),
  before: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .describe('records with an id below this one; the `next` of the page before'),
  limit: limitSchema.default(100),
});
const historyView = z.object({ items: z.array(logView), next: z.number().nullable() });

export const logRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/tenants/:tenant/logs',
    scope: 'manage',
    name: 'listLogs',
    summary: 'Log records that are kept, newest first.',
    params: tenantParams,
    query: historyQuery,
    answers: json(historyView),
    async handler({ services, params: { tenant }, query: { function: fn, limit, ...rest } }) {
      await services.control.getTenant(tenant);
      // What has been logged so far is in the answer: records are written in batches otherwise.
      await services.logs.flush();
      const found = await services.store.queryLogs({ tenant, limit: limit + 1, ...given({ fn, ...rest }) });
      const rows = found.slice(0, limit);
      return { items: rows.map(viewLog), next: found.length > limit ? (rows.at(-1)?.id ?? null) : null };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/tenants/:tenant/logs/stream',
    scope: 'manage',
    name: 'streamLogs',
    summary:
      'Log records from now on, as server-sent events with one LogRecord each; the event `closed` holds the problem that ended the stream.',
    params: tenantParams,
    query: z.strictObject({ function: functionNameSchema.optional() }),
    answers: { kind: 'events' },
    handler: ({ services, params: { tenant }, query: { function: fn }, sink, recheck }) =>
      streamLogs(services.logs, { tenant, ...given({ fn }) }, { sink: sink!, recheck }),
  }),
];
