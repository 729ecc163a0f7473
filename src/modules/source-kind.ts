/** What the ending of a file name says about its language and module kind. */
import type { ModuleKind } from '../contracts/forms.ts';
import type { Language } from '../contracts/model.ts';

export interface SourceKind {
  readonly language: Language;
  /** esbuild's loader */
  readonly loader: 'js' | 'jsx' | 'ts' | 'tsx';
  /** Set by `.mjs`, `.cjs`, `.mts`, `.cts`; else the text decides. */
  readonly moduleKind: ModuleKind | null;
}

const kinds = new Map<string, SourceKind>([
  ['js', { language: 'javascript', loader: 'js', moduleKind: null }],
  ['mjs', { language: 'javascript', loader: 'js', moduleKind: 'esm' }],
  ['cjs', { language: 'javascript', loader: 'js', moduleKind: 'commonjs' }],
  ['jsx', { language: 'javascript', loader: 'jsx', moduleKind: null }],
  ['ts', { language: 'typescript', loader: 'ts', moduleKind: null }],
  ['mts', { language: 'typescript', loader: 'ts', moduleKind: 'esm' }],
  ['cts', { language: 'typescript', loader: 'ts', moduleKind: 'commonjs' }],
  ['tsx', { language: 'typescript', loader: 'tsx', moduleKind: null }],
]);

/** An unknown ending counts as JavaScript: webtask clients send code without any name. */
export function kindOf(filename: string): SourceKind {
  const ending = /\.([a-z]+)$/i.exec(filename)?.[1]?.toLowerCase() ?? '';
  return kinds.get(ending) ?? kinds.get('js')!;
}
