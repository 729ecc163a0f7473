/** The kinds of values that settings have: how each is read from text (flags, environment), and what JSON must hold. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { egressPatternSchema } from '../contracts/egress.ts';
import { type ServiceKinds, serviceKindsSchema } from '../contracts/services.ts';
import { SecretText } from './secret-text.ts';

export interface SettingKind<T> {
  /** For the documentation: `integer 0-65535`, `one of auto, jail`. */
  readonly says: string;
  /** A flag of this kind may stand without a value, which means true. */
  readonly isSwitch: boolean;
  /** What a file may hold. */
  readonly schema: z.ZodType<T>;
  /** From a flag or the environment to what `schema` checks; text that does not fit stays text, and the schema says why. */
  fromText(text: string): unknown;
}

export function integer(min: number, max: number): SettingKind<number> {
  const range = `an integer from ${min} to ${max}`;
  return {
    says: range,
    isSwitch: false,
    schema: z
      .int({ error: `must be ${range}` })
      .min(min, `must be ${range}`)
      .max(max, `must be ${range}`),
    fromText: (text) => (/^-?\d{1,15}$/.test(text) ? Number(text) : text),
  };
}

export const bool: SettingKind<boolean> = {
  says: 'true or false',
  isSwitch: true,
  schema: z.boolean({ error: 'must be true or false' }),
  fromText(text) {
    if (/^(?:true|1|yes|on)$/i.test(text)) return true;
    return /^(?:false|0|no|off)$/i.test(text) ? false : text;
  },
};

export function oneOf<const T extends readonly [string, ...string[]]>(names: T): SettingKind<T[number]> {
  const says = `one of ${names.join(', ')}`;
  return { says, isSwitch: false, schema: z.enum(names, { error: `must be ${says}` }), fromText: same };
}

export function matching(pattern: RegExp, says: string): SettingKind<string> {
  const error = `must be ${says}`;
  return { says, isSwitch: false, schema: z.string({ error }).regex(pattern, error), fromText: same };
}

export function optional<T>(kind: SettingKind<T>): SettingKind<T | null> {
  return { ...kind, schema: kind.schema.nullable() };
}

/** Not a name of the DNS: the process that binds it may be root, and asks nobody. */
export const ownAddress: SettingKind<string> = {
  says: 'an IP address or localhost',
  isSwitch: false,
  schema: z
    .string({ error: 'must be an IP address or localhost' })
    .refine((text) => text === 'localhost' || isIP(text) !== 0, 'must be an IP address or localhost'),
  fromText: same,
};

/** As in the policies of tenants (docs/egress.md). */
export const egressPattern: SettingKind<string> = {
  says: 'a pattern of egress, such as 10.1.2.3:5432 or db.example.com',
  isSwitch: false,
  schema: egressPatternSchema,
  fromText: same,
};

/** Comma-separated in flags and environment, an array in a file. */
export function listOf<T>(kind: SettingKind<T>): SettingKind<readonly T[]> {
  return {
    says: `a list, each ${kind.says}`,
    isSwitch: false,
    schema: z.array(kind.schema, { error: 'must be a list' }).max(1_000).readonly(),
    fromText: (text) =>
      text
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== ''),
  };
}

/** 32 bytes in base64url or base64; never shown. */
export const secretKey: SettingKind<SecretText> = {
  says: '32 bytes in base64url',
  isSwitch: false,
  schema: z
    .string({ error: 'must be 32 bytes in base64url' })
    .refine((text) => /^[A-Za-z0-9+/_-]{43}=?$/.test(text), 'must be 32 bytes in base64url (43 characters)')
    .transform((text) => new SecretText(text.replaceAll('+', '-').replaceAll('/', '_').replace('=', ''))),
  fromText: same,
};

/** An object in a file, its JSON in flags and environment. */
export const serviceKinds: SettingKind<ServiceKinds> = {
  says: 'an object of kinds: {"redis": {"image": "redis:7"}}',
  isSwitch: false,
  schema: serviceKindsSchema,
  fromText(text) {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      // The schema says what it should have been.
      return text;
    }
  },
};

function same(text: string): string {
  return text;
}
