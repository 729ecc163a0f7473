import { pathOf } from '../../src/api/openapi.ts';
import { routes } from '../../src/api/route-table.ts';
import type { Route, RouteScope } from '../../src/api/route.ts';
import { code, GENERATED, table } from './markdown.ts';

const scopes: Readonly<Record<RouteScope, string>> = {
  open: 'none',
  any: 'any',
  manage: '`manage`',
  operator: '`operator`',
  metrics: '`operator`',
};

export function apiPage(): string {
  return `# API

${GENERATED}

JSON over HTTP, described by OpenAPI 3.1 at \`/openapi.json\`. Failures are problems with a stable \`code\` ([errors](errors.md)).
A call carries \`Authorization: Bearer <token>\`. The operator's token is good for everything; a token of a tenant with the
scope \`manage\` for that tenant's things, and what belongs to another tenant answers 404 as if it were not there. A token for
one function is good for the calls that name that function. Each answer has an \`x-request-id\`.

Deploying a file takes one call:

\`\`\`sh
curl -X PUT "$BERTH_URL/v1/tenants/acme/functions/hello?filename=hello.js" \\
  -H "Authorization: Bearer $BERTH_TOKEN" --data-binary @hello.js
\`\`\`

With \`content-type: application/json\` the same call takes the code with its settings:

\`\`\`json
{ "source": "module.exports = (cb) => cb(null, 'hello')", "filename": "hello.js", "secrets": { "KEY": "value" } }
\`\`\`

Lists come in pages: \`limit\` rows, and the \`next\` of an answer is the \`after\` of the next call (\`before\`, for logs).

## Calls

${table(['call', 'token', 'says'], routes.map(rowOf))}

## Queries and bodies

${routes
  .filter((route) => parametersOf(route) !== '')
  .map((route) => `- ${titleOf(route)}: ${parametersOf(route)}`)
  .join('\n')}

## Live logs

\`GET /v1/tenants/{tenant}/logs/stream\` answers with server-sent events: one \`data\` line of JSON for each record, a comment
as a ping every 15 seconds. A reader that is too slow loses records, and a record of the source \`platform\` says how many. When the
token is revoked or the tenant is gone, an event \`closed\` holds the problem, and the stream ends within about a second.
`;
}

function titleOf(route: Route): string {
  return code(`${route.method} ${pathOf(route)}`);
}

function rowOf(route: Route): readonly string[] {
  return [titleOf(route), scopes[route.scope], route.summary];
}

function parametersOf({ query, body, takesCode }: Route): string {
  const named = Object.keys(query.shape).map(code);
  return [
    ...(named.length > 0 ? [`query ${named.join(', ')}`] : []),
    ...(body === null
      ? []
      : [`body ${fieldsOf(body).join(', ') || 'JSON'}${takesCode ? ', or the code itself' : ''}`]),
  ].join('; ');
}

/** The names of a body's fields, those of all its forms. */
function fieldsOf(body: NonNullable<Route['body']>): readonly string[] {
  const { shape, options } = body as { shape?: object; options?: readonly NonNullable<Route['body']>[] };
  if (shape !== undefined) return Object.keys(shape).map(code);
  return [...new Set((options ?? []).flatMap(fieldsOf))];
}
