/** Address, token and tenant that `berth login` remembers, in a file that only the user can read. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { CliIo } from './cli-io.ts';
import { UsageError } from './exit-code.ts';

const profileSchema = z.object({
  url: z.string(),
  token: z.string().nullable(),
  tenant: z.string().nullable(),
});
export type Profile = z.output<typeof profileSchema>;

function profileFile(io: CliIo): string {
  const base = io.env['XDG_CONFIG_HOME'];
  return join(
    base !== undefined && base.startsWith('/') ? base : join(io.home, '.config'),
    'berth',
    'profile.json',
  );
}

/** @returns null when there is none. @throws UsageError when it is not one */
export function readProfile(io: CliIo): Profile | null {
  const file = profileFile(io);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new UsageError(`${file} cannot be read (${code}).`, 'Correct its rights, or remove it.');
  }
  try {
    return profileSchema.parse(JSON.parse(text));
  } catch {
    throw new UsageError(`${file} is not a profile.`, 'Remove it, and log in again (berth login).');
  }
}

/** Written whole or not at all. @returns its path */
export function writeProfile(io: CliIo, profile: Profile): string {
  const file = profileFile(io);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const part = `${file}.${process.pid}`;
  writeFileSync(part, `${JSON.stringify(profile, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
  renameSync(part, file);
  return file;
}

/** @returns false when there was none */
export function removeProfile(io: CliIo): boolean {
  const existed = readProfile(io) !== null;
  rmSync(profileFile(io), { force: true });
  return existed;
}
