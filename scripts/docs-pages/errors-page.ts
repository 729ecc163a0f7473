import { type ErrorDefinition, errorDefinitions } from '../../src/contracts/errors.ts';
import { code, GENERATED, table } from './markdown.ts';

/** Before whom the failure is laid. */
const faults = { caller: 'the request', tenant: "the tenant's code", platform: 'the platform' } as const;

export function errorsPage(): string {
  const rows = Object.entries(errorDefinitions).map(([name, error]: [string, ErrorDefinition]) => [
    code(name),
    String(error.status),
    faults[error.fault],
    error.retry ? 'yes' : 'no',
    code(error.text),
    error.wayOut,
  ]);
  return `# Errors

${GENERATED}

Every failure that a user can cause has a code that does not change. It is answered as
\`application/problem+json\` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)):

\`\`\`json
{
  "type": "urn:berth:error:LIMIT_REACHED",
  "title": "LIMIT_REACHED",
  "status": 409,
  "code": "LIMIT_REACHED",
  "detail": "The limit functions (1000) is reached.",
  "wayOut": "Remove something, or ask the operator for a higher limit.",
  "name": "functions",
  "limit": 1000
}
\`\`\`

What stands in braces below is filled in, and is a field of the problem too. \`retry\` says whether the same request may
succeed later; then there is a \`Retry-After\`. An answer with \`INTERNAL\` from the API holds \`requestId\`, under which the
platform's log has the reason.

${table(['code', 'status', 'whose fault', 'retry', 'text', 'way out'], rows)}
`;
}
