/** What the API answers, checked where it comes in. Fields that a newer platform adds are let through. */
import { z } from 'zod';
import { formSchema } from '../contracts/forms.ts';
import { isolationTiers } from '../contracts/isolations.ts';
import { errorDefinitions, type ErrorCode } from '../contracts/errors.ts';

const text = z.record(z.string(), z.string());
const numbers = z.record(z.string(), z.number());
/** milliseconds since 1970 */
const time = z.number();

export const tenantSchema = z.object({
  id: z.string(),
  name: z.string(),
  state: z.enum(['active', 'suspended']),
  isolation: z.enum(isolationTiers).default('standard'),
  limits: numbers,
  effectiveLimits: numbers.optional(),
  egress: z.union([z.string(), z.array(z.string())]).optional(),
  createdAt: time,
  updatedAt: time,
});
export type TenantRecord = z.output<typeof tenantSchema>;

export const usageSchema = z.object({ day: z.string(), name: z.string(), amount: z.number() });
export type UsageRecord = z.output<typeof usageSchema>;

export const functionSchema = z.object({
  tenant: z.string(),
  name: z.string(),
  url: z.string(),
  access: z.enum(['public', 'token']),
  activeRevision: z.string().nullable(),
  env: text,
  meta: text,
  createdAt: time,
  updatedAt: time,
});
export type DeployedFunction = z.output<typeof functionSchema>;

export const revisionSchema = z.object({
  id: z.string(),
  number: z.number(),
  form: formSchema,
  isFormFixed: z.boolean(),
  moduleKind: z.enum(['commonjs', 'esm']),
  language: z.enum(['javascript', 'typescript']),
  filename: z.string(),
  nodeRange: z.string().nullable().default(null),
  sourceBytes: z.number(),
  isActive: z.boolean(),
  createdAt: time,
});
export type RevisionRecord = z.output<typeof revisionSchema>;

export const deployedSchema = z.object({
  function: functionSchema,
  revision: revisionSchema,
  url: z.string(),
  form: formSchema,
  warnings: z.array(z.string()).default([]),
});
export type DeployAnswer = z.output<typeof deployedSchema>;

export const keySchema = z.object({
  id: z.string(),
  kind: z.enum(['hs256', 'jwks', 'jwe']),
  url: z.string().optional(),
  secret: z.string().optional(),
  createdAt: time,
  revokedAt: time.nullable(),
});
export type KeyRecord = z.output<typeof keySchema>;

export const serviceSchema = z.object({
  name: z.string(),
  kind: z.string(),
  state: z.enum(['starting', 'running', 'stopped', 'failed', 'deleting']),
  reason: z.string().nullable(),
  host: z.string(),
  port: z.number().nullable(),
  secrets: z.array(z.string()),
  memoryBytes: z.number(),
  diskBytes: z.number().nullable(),
  createdAt: time,
});
export type ServiceItem = z.output<typeof serviceSchema>;

export const tokenSchema = z.object({ token: z.string(), jti: z.string() });
export type IssuedTokenRecord = z.output<typeof tokenSchema>;

export const logSchema = z.object({
  id: z.number().optional(),
  at: time,
  tenant: z.string(),
  function: z.string(),
  revision: z.string().nullable(),
  invocation: z.string().nullable(),
  source: z.enum(['console', 'error', 'platform']),
  level: z.enum(['debug', 'info', 'warn', 'error']),
  text: z.string(),
});
export type LogLine = z.output<typeof logSchema>;

const runtimeSchema = z.object({
  name: z.string(),
  hasOwnKernel: z.boolean(),
  fixedLimits: z.array(z.string()),
  canFreeze: z.boolean(),
});

export const aboutSchema = z.object({
  version: z.string(),
  node: z.string(),
  driver: z.object({
    name: z.string(),
    gaps: z.array(z.object({ name: z.string(), isAccepted: z.boolean(), reason: z.string().optional() })),
    runtimes: z.object({ standard: runtimeSchema.nullable(), hardened: runtimeSchema.nullable() }),
  }),
  scopes: z.array(z.string()),
  tenant: z.string().nullable(),
});
export type About = z.output<typeof aboutSchema>;

export const limitsSchema = z.record(
  z.string(),
  z.object({
    default: z.number(),
    floor: z.number(),
    ceiling: z.number(),
    unit: z.string(),
    says: z.string(),
  }),
);
export type LimitTable = z.output<typeof limitsSchema>;

export const readinessSchema = z.object({ isReady: z.boolean(), reasons: z.array(z.string()) });
export type Readiness = z.output<typeof readinessSchema>;

/** RFC 9457, as `problemOf` in contracts/errors.ts writes it. */
export const problemSchema = z.looseObject({
  code: z.custom<ErrorCode>((code) => typeof code === 'string' && Object.hasOwn(errorDefinitions, code)),
  detail: z.string(),
  wayOut: z.string(),
});

export function listSchema<T>(item: z.ZodType<T>) {
  return z.object({
    items: z.array(item),
    next: z.union([z.string(), z.number()]).nullish(),
  });
}
