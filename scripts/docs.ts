/**
 * Writes the pages of docs/ that are made from the code, and the count of attacks in the README: `npm run docs`. With
 * `--check` it writes nothing, and ends with exit code 1 when a page is stale.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { format } from 'oxfmt';
import { describeCli } from '../src/cli/describe.ts';
import { describeConfig } from '../src/config/describe.ts';
import { readme, readmeWithAttackCount } from './attack-count.ts';
import { apiPage } from './docs-pages/api-page.ts';
import { errorsPage } from './docs-pages/errors-page.ts';
import { limitsPage } from './docs-pages/limits-page.ts';
import { metricsPage } from './docs-pages/metrics-page.ts';

/** The list to add to: a file in docs/, and the Markdown that belongs in it. */
export const pages: Readonly<Record<string, () => string>> = {
  'api.md': apiPage,
  'cli.md': describeCli,
  'configuration.md': describeConfig,
  'errors.md': errorsPage,
  'limits.md': limitsPage,
  'metrics.md': metricsPage,
};

const docs = new URL('../docs/', import.meta.url);

export interface RenderedPage {
  readonly name: string;
  readonly text: string;
  readonly isStale: boolean;
}

/** Every page as it should be, in the project's format. */
export async function renderPages(): Promise<readonly RenderedPage[]> {
  return Promise.all(
    Object.entries(pages).map(async ([name, page]) => {
      const text = await formatted(name, page());
      return { name, text, isStale: (await present(name)) !== text };
    }),
  );
}

async function formatted(name: string, text: string): Promise<string> {
  const options = JSON.parse(await readFile(new URL('../.oxfmtrc.json', import.meta.url), 'utf8')) as {
    printWidth: number;
    singleQuote: boolean;
  };
  const { printWidth, singleQuote } = options;
  const { code, errors } = await format(name, text, { printWidth, singleQuote });
  if (errors.length > 0) throw new Error(`${name} cannot be formatted: ${JSON.stringify(errors)}`);
  return code;
}

async function present(name: string): Promise<string | null> {
  try {
    return await readFile(new URL(name, docs), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function main(isCheck: boolean): Promise<void> {
  const stale = (await renderPages()).filter(({ isStale }) => isStale);
  for (const { name, text } of stale) {
    if (!isCheck) await writeFile(new URL(name, docs), text);
    console.log(isCheck ? `docs/${name} is stale: npm run docs` : `docs/${name} written`);
  }
  const isReadmeStale = await updateReadme(isCheck);
  if (stale.length === 0 && !isReadmeStale) console.log('docs/ is up to date');
  if (isCheck && (stale.length > 0 || isReadmeStale)) process.exitCode = 1;
}

/** @returns whether it was stale */
async function updateReadme(isCheck: boolean): Promise<boolean> {
  const text = await readmeWithAttackCount();
  if (text === (await readFile(readme, 'utf8'))) return false;
  if (!isCheck) await writeFile(readme, text);
  console.log(isCheck ? 'README.md is stale: npm run docs' : 'README.md written');
  return true;
}

if (import.meta.main) await main(process.argv.includes('--check'));
