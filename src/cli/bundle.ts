/** Turns a folder, or a file with what it imports, into one script that a sandbox can run, with its source map. */
import type { BuildFailure, BuildOptions, BuildResult, Message } from 'esbuild';
import { basename, dirname, extname, join, resolve } from 'node:path';
import type { ModuleKind } from '../contracts/forms.ts';
import { WorkError } from './exit-code.ts';
import { sanitizeSources } from './source-paths.ts';

export interface Bundle {
  readonly source: Uint8Array;
  readonly sourceMap: string;
  /** What the entry was written as: it decides how its export is understood. */
  readonly moduleKind: ModuleKind;
  /** Name of the file that it was made from. */
  readonly entry: string;
  readonly warnings: readonly string[];
}

type Built = BuildResult<{ write: false; metafile: true }>;

export interface BundleInput {
  /** Absolute: paths in errors and stacks count from here. */
  readonly folder: string;
  /** Absolute path of the file that exports the function. */
  readonly entry: string;
  /** `"type"` of the nearest package.json. */
  readonly packageType: ModuleKind;
}

/** @throws WorkError with file, line and column of the first error */
export async function bundle(input: BundleInput): Promise<Bundle> {
  const { folder, entry } = input;
  const { build } = await import('esbuild');
  const options = buildOptions(folder, entry);
  let result: Built;
  try {
    result = await build(options).catch((failure: BuildFailure) => {
      // CommonJS has no top-level await; the sandbox can run ES modules just as well.
      if (!needsModule(failure)) throw failure;
      return build({ ...options, format: 'esm', banner: { js: requireInModule } });
    });
  } catch (failure) {
    throw asWorkError(failure, folder);
  }
  const [map, code] = [output(result, '.map'), output(result, '.js')];
  return {
    source: code,
    sourceMap: sanitizeSources(Buffer.from(map).toString('utf8'), folder),
    moduleKind: kindOf(input, result),
    entry: basename(entry),
    warnings: result.warnings.map((warning) => sentence(warning)),
  };
}

/** CommonJS packages in an ES module still call `require` for Node's own modules. */
const requireInModule =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire('/index.js');";

function buildOptions(folder: string, entry: string) {
  return {
    absWorkingDir: folder,
    entryPoints: [entry],
    outfile: join(folder, 'index.js'),
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    sourcemap: 'external',
    sourcesContent: false,
    keepNames: true,
    charset: 'utf8',
    metafile: true,
    logLevel: 'silent',
    // In a sandbox there is no file to point at.
    define: {
      'import.meta.url': '"file:///index.js"',
      'import.meta.filename': '"/index.js"',
      'import.meta.dirname': '"/"',
    },
  } as const satisfies BuildOptions;
}

function needsModule({ errors }: BuildFailure): boolean {
  return errors?.some(({ text }) => text.includes('Top-level await')) === true;
}

function output(result: BuildResult<{ write: false }>, ending: string): Uint8Array {
  const found = result.outputFiles.find(({ path }) => path.endsWith(ending));
  if (found === undefined) throw new Error(`esbuild made no ${ending}`);
  return found.contents;
}

/** By the name's ending, then by what is written in it, then by package.json: as Node does. */
function kindOf(
  { folder, entry, packageType }: BundleInput,
  result: BuildResult<{ metafile: true }>,
): ModuleKind {
  const ending = extname(entry);
  if (/^\.m[jt]s$/.test(ending)) return 'esm';
  if (/^\.c[jt]s$/.test(ending)) return 'commonjs';
  const input = Object.entries(result.metafile.inputs).find(([path]) => resolve(folder, path) === entry)?.[1];
  if (input?.format === undefined) return packageType;
  return input.format === 'esm' ? 'esm' : 'commonjs';
}

function asWorkError(failure: unknown, folder: string): unknown {
  const { errors } = failure as Partial<BuildFailure>;
  const [first] = errors ?? [];
  if (first === undefined) return failure;
  const { file, line, column } = first.location ?? { file: undefined, line: undefined, column: undefined };
  const rest = errors!.length > 1 ? `\n${errors!.slice(1, 10).map(sentence).join('\n')}` : '';
  return new WorkError(
    `The code cannot be bundled: ${sentence(first)}${rest}`,
    wayOut(first, dirname(join(folder, file ?? 'x'))),
    file === undefined ? {} : { file, line, column: column + 1 },
  );
}

function sentence({ text, location }: Message): string {
  return location === null ? text : `${text} (${location.file}:${location.line}:${location.column + 1})`;
}

function wayOut({ text }: Message, folder: string): string {
  const missing = /^Could not resolve "([^"./][^"]*)"/.exec(text)?.[1];
  if (missing !== undefined)
    return `Install it there and try again: npm install --prefix ${folder} ${missing}`;
  if (text.includes('".node" files'))
    return 'Packages with native code cannot run in a sandbox; use one in JavaScript or WebAssembly.';
  return 'Correct the code and deploy again; nothing was changed.';
}
