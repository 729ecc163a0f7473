/** Values of options, from text. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { type EgressPolicy, parseEgressPattern } from '../contracts/egress.ts';
import { limitDefinitions, type LimitName } from '../contracts/limits.ts';
import type { CliIo } from './cli-io.ts';
import { UsageError } from './exit-code.ts';

/** For options that may be given several times. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** `NAME=value`, or `NAME` alone: the value of the environment, so that it is in no shell history. @throws UsageError */
export function pairs(given: readonly string[] | undefined, io: CliIo): Record<string, string> | undefined {
  if (given === undefined) return undefined;
  return Object.fromEntries(
    given.map((text): [string, string] => {
      const equals = text.indexOf('=');
      if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
      const value = equals === -1 ? io.env[text] : undefined;
      if (value !== undefined) return [text, value];
      throw new UsageError(
        `"${text}" is no NAME=value, and there is no variable of that name.`,
        'Write NAME=value, or NAME to take it from the environment.',
      );
    }),
  );
}

/** `name=value` or `name=default`; null stands for the default. @throws UsageError */
export function limitPairs(given: readonly string[]): ReadonlyMap<LimitName, number | null> {
  return new Map(
    given.map((text): [LimitName, number | null] => {
      const [name = '', value = ''] = text.split(/=(.*)/s);
      if (!Object.hasOwn(limitDefinitions, name))
        throw new UsageError(`There is no limit "${name}".`, '"berth limits" lists them.');
      if (value === 'default') return [name as LimitName, null];
      if (!/^\d{1,15}$/.test(value))
        throw new UsageError(
          `"${value}" is no value for ${name}.`,
          `Write ${name}=<whole number> or ${name}=default.`,
        );
      return [name as LimitName, Number(value)];
    }),
  );
}

/** `public`, `none`, or patterns. @returns undefined when nothing was given. @throws UsageError */
export function egressPolicy(given: readonly string[] | undefined): EgressPolicy | undefined {
  if (given === undefined) return undefined;
  const [only] = given;
  if (given.length === 1 && (only === 'public' || only === 'none')) return only;
  const wrong = given.find((text) => parseEgressPattern(text) === null);
  if (wrong === undefined) return given;
  throw new UsageError(
    `"${wrong}" is no target of egress.`,
    'Write public, none, or patterns such as api.example.com:443, *.example.com, 10.1.2.3:5432.',
  );
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** `90`, `90s`, `15m`, `12h`, `30d`. @returns seconds */
export function seconds(text: string): number {
  const [, number, unit = 's'] = /^(\d{1,9})([smhd])?$/.exec(text) ?? [];
  if (number === undefined) throw new InvalidArgumentError('Write a time such as 90s, 15m, 12h or 30d.');
  return Number(number) * UNIT_SECONDS[unit]!;
}

export function count(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('Write a whole number from 1 on.');
  return Number(text);
}

/** @returns bytes */
export function mebibytes(text: string): number {
  return count(text) * 1024 * 1024;
}

/** A moment as a date or as a time ago. @returns milliseconds since 1970 */
export function moment(text: string, now: number): number {
  if (/^\d{1,9}[smhd]$/.test(text)) return now - seconds(text) * 1_000;
  const at = Date.parse(text);
  if (Number.isNaN(at))
    throw new UsageError(`"${text}" is no time.`, 'Write 10m, 2h, or a date such as 2026-01-31T12:00:00Z.');
  return at;
}

/** `@file` is the content of a file, `@-` of standard input; anything else is itself. @throws UsageError */
export async function textOrFile(text: string, io: CliIo): Promise<string> {
  if (!text.startsWith('@')) return text;
  return text === '@-' ? readStdin(io) : readTextFile(io, text.slice(1));
}

function readTextFile(io: CliIo, path: string): string {
  try {
    return readFileSync(resolve(io.cwd, path), 'utf8');
  } catch (error) {
    throw new UsageError(
      `${path} cannot be read (${(error as NodeJS.ErrnoException).code}).`,
      'Check the path.',
    );
  }
}

const MAX_STDIN_BYTES = 64 * 1024 * 1024;

/** @throws UsageError above 64 MiB */
export async function readStdin(io: CliIo): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of io.stdin) {
    const buffer = Buffer.from(chunk as Uint8Array | string);
    bytes += buffer.length;
    if (bytes > MAX_STDIN_BYTES) throw new UsageError('Standard input has more than 64 MiB.', 'Send less.');
    chunks.push(buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}
