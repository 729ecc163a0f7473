/** What comes in: parameters, queries and bodies that several routes share. */
import { z } from 'zod';
import {
  functionNameSchema,
  revisionIdSchema,
  secretNameSchema,
  serviceNameSchema,
  tenantIdSchema,
} from '../contracts/ids.ts';
import { apiLimits } from './api-limits.ts';

export const accessSchema = z.enum(['public', 'token']);
export const moduleKindSchema = z.enum(['commonjs', 'esm']);
export const keyIdSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'a key id is 1-64 of A-Z a-z 0-9 . _ -');
export const filenameSchema = z
  .string()
  .regex(
    /^(?!\.{1,2}$)[^/\\\u0000-\u001f\u007f\ud800-\udfff]{1,200}$/,
    'a file name is the last segment of a path, 1-200 characters',
  );

export const tenantParams = z.strictObject({ tenant: tenantIdSchema });
export const functionParams = tenantParams.extend({ fn: functionNameSchema });
export const revisionParams = functionParams.extend({ revision: revisionIdSchema });
export const secretParams = functionParams.extend({ secret: secretNameSchema });
export const serviceParams = tenantParams.extend({ service: serviceNameSchema });
export const platformKeyParams = z.strictObject({ kid: keyIdSchema });
export const keyParams = tenantParams.extend({ key: keyIdSchema });

export const limitSchema = z.coerce.number().int().min(1).max(apiLimits.pageRows.value);
export const pageQuery = z.strictObject({
  after: z.string().max(128).optional().describe('names after this one; the `next` of the page before'),
  limit: limitSchema.default(100),
});

export const stringMap = z.record(z.string().max(128), z.string());

export const displayNameSchema = z
  .string()
  .min(1)
  .max(200)
  .refine((name) => name.isWellFormed() && !/[\u0000-\u001f\u007f]/.test(name), 'no control characters');
