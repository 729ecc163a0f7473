/** What env, meta and secrets of a function may look like, for all faces alike. */
import { BerthError } from '../contracts/errors.ts';
import { secretNameSchema } from '../contracts/ids.ts';
import type { Limits } from '../contracts/limits.ts';
import type { FunctionSettings } from '../store/store.ts';

const META_NAME_CHARACTERS = 128;
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f]/;

/** @throws BerthError NAME_INVALID, BAD_REQUEST, LIMIT_REACHED (secrets), SETTING_TOO_LARGE (secretBytes, settingsBytes) */
export function checkSettings(settings: FunctionSettings, limits: Limits): void {
  for (const [name, value] of Object.entries(settings.env ?? {})) checkEnv(name, value);
  for (const [name, value] of Object.entries(settings.meta ?? {})) checkMeta(name, value);
  // Each of the two has the limit for itself: a change of one must not need to know the other.
  for (const what of ['env', 'meta'] as const) checkSize(what, settings[what] ?? {}, limits);
  const secrets = Object.entries(settings.secrets ?? {});
  if (secrets.length > limits.secrets) {
    throw new BerthError('LIMIT_REACHED', { name: 'secrets', limit: limits.secrets });
  }
  for (const [name, value] of secrets) checkSecret(name, value, limits);
}

/** @throws BerthError NAME_INVALID, BAD_REQUEST, SETTING_TOO_LARGE (secretBytes) */
export function checkSecret(name: string, value: string, limits: Limits): void {
  checkVariableName(name);
  checkText(value, `the secret ${name}`);
  checkNoNul(value, `the secret ${name}`);
  const size = Buffer.byteLength(value);
  const { secretBytes: limit } = limits;
  if (size > limit)
    throw new BerthError('SETTING_TOO_LARGE', {
      what: `The secret ${name}`,
      size,
      name: 'secretBytes',
      limit,
    });
}

function checkEnv(name: string, value: string): void {
  checkVariableName(name);
  checkText(value, `the variable ${name}`);
  checkNoNul(value, `the variable ${name}`);
}

/** execve(2) and process.env end a value at a NUL, and secrets are put into environments, too. */
function checkNoNul(value: string, subject: string): void {
  if (value.includes('\0')) throw new BerthError('BAD_REQUEST', { reason: `${subject} holds a NUL` });
}

function checkMeta(name: string, value: string): void {
  if (name === '' || name.length > META_NAME_CHARACTERS) {
    throw new BerthError('NAME_INVALID', {
      reason: `a name in meta has 1-${META_NAME_CHARACTERS} characters`,
    });
  }
  if (CONTROL_CHARACTER.test(name) || !name.isWellFormed()) {
    throw new BerthError('NAME_INVALID', { reason: 'a name in meta holds no control characters' });
  }
  checkText(value, 'a value in meta');
}

function checkVariableName(name: string): void {
  const parsed = secretNameSchema.safeParse(name);
  if (!parsed.success) {
    throw new BerthError('NAME_INVALID', { reason: parsed.error.issues[0]?.message ?? 'it is not a name' });
  }
}

/** Text that is not well-formed UTF-16 would come back from the store as other text. */
function checkText(value: string, subject: string): void {
  if (!value.isWellFormed())
    throw new BerthError('BAD_REQUEST', { reason: `${subject} is not valid Unicode` });
}

function checkSize(what: string, map: Readonly<Record<string, string>>, limits: Limits): void {
  let size = 0;
  for (const [name, value] of Object.entries(map)) size += Buffer.byteLength(name) + Buffer.byteLength(value);
  const { settingsBytes: limit } = limits;
  if (size > limit) throw new BerthError('SETTING_TOO_LARGE', { what, size, name: 'settingsBytes', limit });
}
