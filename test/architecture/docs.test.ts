import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pages, renderPages } from '../../scripts/docs.ts';
import { read, root } from './source-files.ts';

const docs = new URL('../../docs/', import.meta.url);

describe('docs/', () => {
  it('says what the code says; "npm run docs" writes it anew', async () => {
    const stale = (await renderPages()).filter(({ isStale }) => isStale);
    expect(stale.map(({ name }) => name)).toEqual([]);
  });

  it('has no page that says it is generated and is not', () => {
    const generated = readdirSync(docs)
      .filter((name) => name.endsWith('.md'))
      .filter((name) => readFileSync(new URL(name, docs), 'utf8').includes('Made by `npm run docs`'));
    expect(generated.filter((name) => !(name in pages))).toEqual([]);
  });

  it('has links, with README.md, ARCHITECTURE.md and SECURITY.md, that lead to what git tracks', () => {
    const tracked = trackedPaths();
    const texts = [...tracked].filter((path) =>
      /^(?:README|ARCHITECTURE|SECURITY|docs\/[^/]+)\.md$/.test(path),
    );
    const links = texts.flatMap((path) => relativeLinks(path));
    expect(links.length).toBeGreaterThan(10);
    const broken = links.filter(({ target }) => !tracked.has(target));
    expect(broken.map(({ path, target }) => `${path} links to ${target}`)).toEqual([]);
  });
});

/** Files, and the folders they are in. A file that is not added yet would be missing for everybody else. */
function trackedPaths(): Set<string> {
  const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0');
  const paths = new Set(files);
  for (const file of files)
    for (let folder = posix.dirname(file); folder !== '.'; folder = posix.dirname(folder)) paths.add(folder);
  paths.delete('');
  return paths;
}

/** Links to files, without anchors; examples in code do not count. */
function relativeLinks(path: string): { path: string; target: string }[] {
  const prose = read(path)
    .replaceAll(/^```[\s\S]*?^```/gm, '')
    .replaceAll(/`[^`\n]*`/g, '');
  return [...prose.matchAll(/\]\(([^)\s#]+)[^)]*\)/g)]
    .map(([, link]) => link!)
    .filter((link) => !/^[a-z][a-z+.-]*:/i.test(link))
    .map((link) => ({ path, target: posix.join(posix.dirname(path), link).replace(/\/$/, '') }));
}
