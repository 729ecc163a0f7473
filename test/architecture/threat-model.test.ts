/** docs/threat-model.md: each claim has a test, each named test is there, each attack is named. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readmeWithAttackCount } from '../../scripts/attack-count.ts';
import { read, root, typeScriptFiles } from './source-files.ts';

const page = read('docs/threat-model.md');

interface Reference {
  readonly file: string;
  /** the beginning of a test's or a group's name; null: the whole file */
  readonly name: string | null;
}

/** `file.test.ts › name` in code. */
function referencesOf(text: string): readonly Reference[] {
  return [...text.matchAll(/`((?:src|test)\/[^`›\s]+\.test\.ts)(?:\s+›\s+([^`]+))?`/g)].map(
    ([, file, name]) => ({
      file: file!,
      name: name === undefined ? null : name.replaceAll(/\s+/g, ' '),
    }),
  );
}

/** Names as they stand in the source, `%s` and `${…}` included. */
function namesIn(file: string): readonly string[] {
  const calls = /\b(?:it|test|describe)(?:\.\w+)*\b[^\n'"`]*?\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g;
  const tables = /\](?:\s*as const)?,?\s*\)\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g;
  const source = read(file);
  return [...source.matchAll(calls), ...source.matchAll(tables)].map(([, , name]) => name!);
}

it('every test that it names is there', () => {
  const references = referencesOf(page);
  expect(references.length).toBeGreaterThan(60);
  const missing = references.filter(({ file, name }) => {
    if (!existsSync(join(root, file))) return true;
    return name !== null && !namesIn(file).some((found) => found.startsWith(name));
  });
  expect(missing.map(({ file, name }) => `There is no test "${name}" in ${file}.`)).toEqual([]);
});

it('every claim of a layer names a test', () => {
  const layers = page.slice(page.indexOf('## Layers'), page.indexOf('## What holds during every attack'));
  const claims = layers.split(/\n(?=- |#)/).filter((part) => part.startsWith('- '));
  expect(claims.length).toBeGreaterThan(30);
  expect(claims.filter((claim) => referencesOf(claim).length === 0)).toEqual([]);
});

it('every numbered attack of test/security is behind a claim', () => {
  const named = referencesOf(page);
  const numbered = typeScriptFiles('test/security')
    .filter((file) => file.endsWith('.test.ts'))
    .flatMap((file) =>
      namesIn(file).flatMap((name) => {
        const number = /^\d+:/.exec(name)?.[0];
        return number === undefined ? [] : [{ file, name, number }];
      }),
    );
  expect(new Set(numbered.map(({ number }) => number)).size).toBeGreaterThan(30);
  const unnamed = numbered.filter(
    ({ file, name }) =>
      !named.some((reference) => reference.file === file && name.startsWith(reference.name ?? '')),
  );
  expect(
    unnamed.map(({ file, name }) => `${file}: "${name}" is behind no claim of docs/threat-model.md.`),
  ).toEqual([]);
});

it('the README counts the attacks; "npm run docs" counts anew', async () => {
  expect(await readmeWithAttackCount()).toBe(read('README.md'));
});
