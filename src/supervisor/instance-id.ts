/**
 * Tells this installation from others that use the same engine: containers carry it as a label. It lies in a
 * folder of the supervisor's own below the data, because a containerised platform has the same paths and process numbers as another one.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FORM = /^[0-9a-f]{32}$/;

/** Made at the first call, the same ever after. @throws Error when the file holds something else */
export function instanceId(folder: string): string {
  const file = join(folder, 'instance-id');
  try {
    writeFileSync(file, randomBytes(16).toString('hex'), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const id = readFileSync(file, 'utf8').trim();
  if (!FORM.test(id)) throw new Error(`${file} does not hold an instance id; remove it`);
  return id;
}
