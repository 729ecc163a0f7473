/** Names and identifiers, each a branded string that only its parser makes. No I/O. */
import { z } from 'zod';

/** Tenant id: what stands in URLs and host names, so a DNS label (RFC 1123), and webtask containers fit it. */
export const tenantIdSchema = z
  .string()
  .regex(
    /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
    'a tenant id is 1-63 of a-z, 0-9 and "-", as in a host name',
  )
  .brand<'TenantId'>();
export type TenantId = z.infer<typeof tenantIdSchema>;

/** Function name: the characters that wt-cli lets a webtask be called, 1-128, never `.` or `..`. */
export const functionNameSchema = z
  .string()
  .regex(
    /^(?!\.{1,2}$)[-A-Za-z0-9._~!$+=:@]{1,128}$/,
    'a function name is 1-128 of A-Z a-z 0-9 - . _ ~ ! $ + = : @',
  )
  .brand<'FunctionName'>();
export type FunctionName = z.infer<typeof functionNameSchema>;

/** Revision id: `r` and 24 hexadecimal digits of the SHA-256 of code and settings. */
export const revisionIdSchema = z
  .string()
  .regex(/^r[0-9a-f]{24}$/, 'a revision id is "r" and 24 hexadecimal digits')
  .brand<'RevisionId'>();
export type RevisionId = z.infer<typeof revisionIdSchema>;

/** Secret and environment names: what POSIX lets a variable be called. */
export const secretNameSchema = z
  .string()
  .regex(
    /^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/,
    'a secret name is 1-128 letters, digits, "_", "-" or ".", not starting with a digit',
  );

/** Service name: a DNS label that starts with a letter, so that it also makes names of variables. */
export const serviceNameSchema = z
  .string()
  .regex(
    /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/,
    'a service name is 1-40 of a-z, 0-9 and "-", starting with a letter, not ending with "-"',
  )
  .brand<'ServiceName'>();
export type ServiceName = z.infer<typeof serviceNameSchema>;

/** Volume id: made by the platform only; it names what a service keeps. */
export const volumeIdSchema = z
  .string()
  .regex(/^v[0-9a-z]{20}$/, 'not a volume id')
  .brand<'VolumeId'>();
export type VolumeId = z.infer<typeof volumeIdSchema>;

/** Sandbox id: made by the platform only; it names a directory, a cgroup and a log field. */
export type SandboxId = string & z.BRAND<'SandboxId'>;
/** Invocation id as users see it (`x-berth-invocation`): made by the platform only. */
export type InvocationId = string & z.BRAND<'InvocationId'>;
/** Identifies a key in a key ring; the `kid` of a token's header. */
export type KeyId = string;

const SANDBOX_ID = /^s[0-9a-z]{10,32}$/;

/** @throws RangeError when `text` is not an id that `newSandboxId` could have made */
export function asSandboxId(text: string): SandboxId {
  if (!SANDBOX_ID.test(text)) throw new RangeError('not a sandbox id');
  return text as SandboxId;
}
