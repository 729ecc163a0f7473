/** The files of the project and their imports, as text: nothing is loaded. */
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join, posix } from 'node:path';

export const root = new URL('../..', import.meta.url).pathname;

export interface Import {
  readonly specifier: string;
  readonly line: number;
  /** `import type`: gone when the code runs */
  readonly isTypeOnly: boolean;
}

/** Paths of all TypeScript files below a folder of the project, relative to the project, sorted. */
export function typeScriptFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => posix.relative(root, posix.join(entry.parentPath, entry.name)))
    .toSorted();
}

/** What git keeps, without what is ignored; also files that are not added yet. */
export function committedFiles(): string[] {
  return execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
    .split('\0')
    .filter((path) => path !== '');
}

export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** Every import and re-export of a module, of types too. Text in strings and comments does not count. */
export function importsOf(source: string): Import[] {
  const code = withoutComments(source);
  const pattern =
    /(?:^|[;}\n])\s*(?:import|export)\s+(?:type\s+)?(?:[\w*{}\s,$]+?\s+from\s+)?(['"])([^'"\n]+)\1|\bimport\s*\(\s*(['"])([^'"\n]+)\3/g;
  return [...code.matchAll(pattern)].map((match) => ({
    specifier: (match[2] ?? match[4])!,
    isTypeOnly: /^[;}\s]*(?:import|export)\s+type\b/.test(match[0]),
    line: code.slice(0, match.index + match[0].length).split('\n').length,
  }));
}

/** Comments become spaces, so that lines stay where they are; the inside of templates is emptied. */
export function withoutComments(source: string): string {
  const tokens =
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/(?![*/\s])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[dgimsuvy]*(?=\s*[.,;)\]])/g;
  return source.replace(tokens, (token) =>
    token.startsWith("'") || token.startsWith('"') ? token : token.replaceAll(/[^\n]/g, ' '),
  );
}

/** The file that a relative import names, relative to the project; null for packages and Node's own modules. */
export function targetOf(file: string, { specifier }: Import): string | null {
  return specifier.startsWith('.') ? posix.join(posix.dirname(file), specifier) : null;
}

/** `src/drivers/jail/x.ts` → `drivers` */
export function folderOf(file: string): string {
  return file.split('/')[1] ?? '';
}
