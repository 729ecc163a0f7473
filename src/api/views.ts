/**
 * What goes out: records as callers see them. Answers are parsed by these schemas, so that a field which is not named
 * here (a webtask's token, a secret) cannot slip out.
 */
import { z } from 'zod';
import { egressPolicySchema } from '../contracts/egress.ts';
import { formSchema } from '../contracts/forms.ts';
import { isolationTiers } from '../contracts/isolations.ts';
import { limitNames, limitOverridesSchema } from '../contracts/limits.ts';
import {
  type FunctionRecord,
  type LogRecord,
  type Revision,
  type Tenant,
  usageNames,
} from '../contracts/model.ts';
import type { Control, ServiceView } from '../control/control.ts';
import type { Answers } from './route.ts';
import { accessSchema, moduleKindSchema } from './schemas.ts';

/** Schemas with a name in OpenAPI's components. */
export const namedSchemas = z.registry<{ id: string }>();

const time = z.number().describe('milliseconds since 1970');
const text = z.record(z.string(), z.string());

export const tenantView = z.object({
  id: z.string(),
  name: z.string(),
  state: z.enum(['active', 'suspended']),
  isolation: z.enum(isolationTiers),
  limits: limitOverridesSchema.describe("the tenant's own limits"),
  egress: egressPolicySchema.describe('where its code may connect to'),
  effectiveLimits: z.record(z.enum(limitNames), z.number()).describe('what is in force'),
  tokensValidFrom: time,
  createdAt: time,
  updatedAt: time,
});
export const usageView = z.object({
  day: z.string().describe('ISO 8601, UTC'),
  name: z.enum(usageNames),
  amount: z.number(),
});
export const functionView = z.object({
  tenant: z.string(),
  name: z.string(),
  url: z.string(),
  access: accessSchema,
  activeRevision: z.string().nullable(),
  env: text,
  meta: text,
  version: z.number(),
  createdAt: time,
  updatedAt: time,
});
export const revisionView = z.object({
  id: z.string(),
  tenant: z.string(),
  function: z.string(),
  number: z.number(),
  form: formSchema,
  isFormFixed: z.boolean(),
  moduleKind: moduleKindSchema,
  language: z.enum(['javascript', 'typescript']),
  filename: z.string(),
  nodeRange: z.string().nullable().describe('what `engines.node` said'),
  sourceBytes: z.number(),
  isActive: z.boolean(),
  createdAt: time,
});
export const keyView = z.object({
  id: z.string(),
  kind: z.enum(['hs256', 'jwks', 'jwe']),
  url: z.string().optional(),
  secret: z.string().optional().describe('only in the answer to the request that made it'),
  createdAt: time,
  revokedAt: time.nullable(),
});
export const serviceView = z.object({
  tenant: z.string(),
  name: z.string(),
  kind: z.string(),
  state: z.enum(['starting', 'running', 'stopped', 'failed', 'deleting']),
  reason: z.string().nullable().describe('why it does not run although it should'),
  host: z.string().describe('where functions of the tenant, and nobody else, reach it'),
  port: z.number().nullable().describe('null: the operator does not offer its kind any more'),
  secrets: z.array(z.string()).describe('names of the secrets that lead to it'),
  memoryBytes: z.number(),
  diskBytes: z
    .number()
    .nullable()
    .describe('what it keeps on the disk, as seen last (not limited); null: not yet'),
  createdAt: time,
});
export const logView = z.object({
  id: z.number().optional().describe('only in history'),
  at: time,
  tenant: z.string(),
  function: z.string(),
  revision: z.string().nullable(),
  invocation: z.string().nullable(),
  source: z.enum(['console', 'error', 'platform']),
  level: z.enum(['debug', 'info', 'warn', 'error']),
  text: z.string(),
});
export const tokenView = z.object({ token: z.string(), jti: z.string() });

namedSchemas.add(tenantView, { id: 'Tenant' });
namedSchemas.add(usageView, { id: 'Usage' });
namedSchemas.add(functionView, { id: 'Function' });
namedSchemas.add(revisionView, { id: 'Revision' });
namedSchemas.add(keyView, { id: 'Key' });
namedSchemas.add(serviceView, { id: 'Service' });
namedSchemas.add(logView, { id: 'LogRecord' });

export function json(schema: z.ZodType, status = 200): Answers {
  return { kind: 'json', schema, status };
}

export function listOf(item: z.ZodType): z.ZodType {
  return z.object({ items: z.array(item) });
}

export function pageOf(item: z.ZodType): z.ZodType {
  return z.object({
    items: z.array(item),
    next: z.string().nullable().describe('`after` of the next page; null: this is the last'),
  });
}

export function viewTenant(tenant: Tenant, control: Pick<Control, 'limitsOf'>): z.input<typeof tenantView> {
  return { ...tenant, effectiveLimits: { ...control.limitsOf(tenant) } };
}

export function viewFunction(fn: FunctionRecord, origin: string): z.input<typeof functionView> {
  return { ...fn, env: { ...fn.env }, meta: { ...fn.meta }, url: urlOf(fn, origin) };
}

/** Every character that a function may be called is legal in a path (RFC 3986, pchar). */
export function urlOf(fn: Pick<FunctionRecord, 'tenant' | 'name'>, origin: string): string {
  return `${origin}/run/${fn.tenant}/${fn.name}`;
}

export function viewRevision(revision: Revision, active: string | null): z.input<typeof revisionView> {
  return { ...revision, function: revision.fn, isActive: revision.id === active };
}

export function viewService(service: ServiceView): z.input<typeof serviceView> {
  return { ...service, secrets: [...service.secrets] };
}

export function viewLog({ fn, ...record }: LogRecord & { readonly id?: number }): z.input<typeof logView> {
  return { ...record, function: fn };
}

/** One more row than the page holds has been asked for: it tells whether there is a next page. */
export function cutPage<T>(
  rows: readonly T[],
  limit: number,
  nameOf: (row: T) => string,
): { readonly items: readonly T[]; readonly next: string | null } {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return { items, next: rows.length > limit && last !== undefined ? nameOf(last) : null };
}
