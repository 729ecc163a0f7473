/** The number of attacks in the README: the tests of test/security, as vitest lists them. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

export const readme = new URL('../README.md', import.meta.url);
const root = new URL('..', import.meta.url).pathname;
const vitest = new URL('../node_modules/vitest/vitest.mjs', import.meta.url).pathname;
const LIST_MS = 60_000;
const MAX_LIST_BYTES = 16 * 1024 * 1024;
/** The number stands between these two. */
const PLACE = /(<!-- attacks -->)\d*(<!-- \/attacks -->)/;

/** @returns README.md as it should be. @throws Error when it has no place for the number, or the tests cannot be listed */
export async function readmeWithAttackCount(): Promise<string> {
  const text = await readFile(readme, 'utf8');
  if (!PLACE.test(text)) throw new Error('README.md has no "<!-- attacks -->0<!-- /attacks -->"');
  return text.replace(PLACE, `$1${await countAttacks()}$2`);
}

/** Collecting runs the files, but neither tests nor hooks, so that rows of tables count. */
async function countAttacks(): Promise<number> {
  const argv = [vitest, 'list', '--json', '--no-static-parse', '--project', 'security'];
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST')));
  const options = { cwd: root, env, timeout: LIST_MS, maxBuffer: MAX_LIST_BYTES };
  const { stdout } = await promisify(execFile)(process.execPath, argv, options);
  const start = stdout.indexOf('[\n');
  return (JSON.parse(stdout.slice(start)) as unknown[]).length;
}
