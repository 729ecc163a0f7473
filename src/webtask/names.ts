/** Names and references of webtasks: which a client may choose, which are ours, how claims refer to stored things. */
import { BerthError } from '../contracts/errors.ts';
import { type FunctionName, functionNameSchema, type TenantId, tenantIdSchema } from '../contracts/ids.ts';

/** Functions behind unnamed tokens; no client may choose such a name, and no list shows it. */
const HIDDEN_PREFIX = 'wt~';

/** @throws BerthError NAME_INVALID */
export function parseContainer(text: string): TenantId {
  const parsed = tenantIdSchema.safeParse(text);
  if (!parsed.success) throw nameInvalid(parsed.error.issues[0]?.message);
  return parsed.data;
}

/** A name that a client gave. @throws BerthError NAME_INVALID */
export function parseName(text: string): FunctionName {
  const parsed = functionNameSchema.safeParse(text);
  if (!parsed.success) throw nameInvalid(parsed.error.issues[0]?.message);
  if (isHidden(text)) throw nameInvalid(`names that start with "${HIDDEN_PREFIX}" are reserved`);
  return parsed.data;
}

export function isHidden(name: string): boolean {
  return name.startsWith(HIDDEN_PREFIX);
}

/** @param id letters and digits */
export function hiddenName(id: string): FunctionName {
  return functionNameSchema.parse(HIDDEN_PREFIX + id);
}

const CODE = 'webtask://localhost/api/data/code/';
const SECRETS = 'webtask://localhost/api/data/secrets/';

/** The `url` claim: says where the code is kept (webtask contract, trap 2). */
export function codeReference(tenant: TenantId, name: FunctionName): string {
  return CODE + encodeURIComponent(`${tenant}/${name}`);
}

/** The `ectx` claim. Secrets stay in the store; the token only says whose they are, so that a token that leaks gives nothing away. */
export function secretsReference(tenant: TenantId, name: FunctionName): string {
  return SECRETS + encodeURIComponent(`${tenant}/${name}`);
}

export interface Reference {
  readonly tenant: TenantId;
  readonly name: FunctionName;
}

export function parseCodeReference(text: unknown): Reference | null {
  return parseReference(text, CODE);
}

export function parseSecretsReference(text: unknown): Reference | null {
  return parseReference(text, SECRETS);
}

function parseReference(text: unknown, prefix: string): Reference | null {
  if (typeof text !== 'string' || !text.startsWith(prefix)) return null;
  const path = decode(text.slice(prefix.length));
  const slash = path.indexOf('/');
  const tenant = tenantIdSchema.safeParse(path.slice(0, Math.max(slash, 0)));
  const name = functionNameSchema.safeParse(path.slice(slash + 1));
  return tenant.success && name.success ? { tenant: tenant.data, name: name.data } : null;
}

/** Percent-decoding that takes broken input for what it is: no name. */
export function decode(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return '';
    throw error;
  }
}

function nameInvalid(reason: string | undefined): BerthError {
  return new BerthError('NAME_INVALID', { reason: reason ?? 'not a name' });
}
