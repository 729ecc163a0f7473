/** What `berth deploy` deploys: standard input, a file as it is, or a folder (or file) bundled. */
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import type { ModuleKind } from '../contracts/forms.ts';
import { bundle } from './bundle.ts';
import type { CliIo } from './cli-io.ts';
import { UsageError } from './exit-code.ts';
import { foreignImports } from './foreign-imports.ts';
import { readStdin } from './option-values.ts';
import type { Output } from './output.ts';

export interface DeploySource {
  readonly source: Uint8Array;
  readonly filename?: string;
  readonly entry?: string;
  readonly moduleKind?: ModuleKind;
  readonly sourceMap?: string;
  /** `engines.node` of its package.json */
  readonly nodeRange?: string;
  /** What the function is called unless the user says otherwise; null: the user must. */
  readonly name: string | null;
  readonly warnings: readonly string[];
}

export interface SourceRequest {
  /** `-`, a path, or nothing: standard input when something is piped in, otherwise the current folder */
  readonly path: string | undefined;
  readonly isBundled: boolean;
  readonly io: CliIo;
  readonly output: Output;
}

/** @throws UsageError, WorkError */
export async function deploySource(request: SourceRequest): Promise<DeploySource> {
  const { io } = request;
  const path = request.path ?? (io.stdin.isTTY === true ? '.' : '-');
  if (path === '-') return fromStdin(io);
  const absolute = resolve(io.cwd, path);
  const stats = statSync(absolute, { throwIfNoEntry: false });
  if (stats === undefined) throw new UsageError(`There is no file or folder ${path}.`, 'Check the path.');
  if (stats.isDirectory()) return fromFolder(absolute, request.output);
  return request.isBundled ? fromFile(absolute, request.output) : plainFile(absolute);
}

async function fromStdin(io: CliIo): Promise<DeploySource> {
  const source = await readStdin(io);
  if (source.trim() === '')
    throw new UsageError(
      'There is no code on standard input.',
      'Name a file or a folder: berth deploy <path>',
    );
  return { source: Buffer.from(source), name: null, warnings: [] };
}

async function plainFile(file: string): Promise<DeploySource> {
  const foreign = await foreignImports(file);
  const warning = `it imports ${foreign.map((name) => `"${name}"`).join(', ')}, which a sandbox does not have; deploy with --bundle, or the folder`;
  return {
    source: readFileSync(file),
    filename: basename(file),
    name: nameOfFile(file),
    ...nodeRangeOf(packageOf(dirname(file))),
    warnings: foreign.length === 0 ? [] : [warning],
  };
}

async function fromFile(file: string, output: Output): Promise<DeploySource> {
  const found = packageOf(dirname(file));
  const work = bundle({ folder: dirname(file), entry: file, packageType: found.type });
  const bundled = await output.during(`Bundling ${basename(file)}`, work);
  return { ...bundled, ...nodeRangeOf(found), name: nameOfFile(file) };
}

async function fromFolder(folder: string, output: Output): Promise<DeploySource> {
  const found = packageOf(folder);
  const { main, name, type } = found;
  const entry = entryOf(folder, main);
  const work = bundle({ folder, entry, packageType: type });
  const unscoped = name?.replace(/^@[^/]*\//, '') ?? basename(folder);
  const bundled = await output.during(`Bundling ${basename(folder)}`, work);
  return { ...bundled, ...nodeRangeOf(found), name: unscoped };
}

/** `hello.ts` is called hello; `hello/index.ts` too. */
function nameOfFile(file: string): string {
  const name = basename(file, extname(file));
  return name === 'index' ? basename(dirname(file)) : name;
}

const INDEX_FILES = ['ts', 'mts', 'cts', 'js', 'mjs', 'cjs', 'tsx', 'jsx'].map((ending) => `index.${ending}`);

function entryOf(folder: string, main: readonly string[]): string {
  const wanted = main.flatMap((path) => [
    path,
    `${path}.js`,
    `${path}.ts`,
    ...INDEX_FILES.map((name) => join(path, name)),
  ]);
  for (const candidate of [...wanted, ...INDEX_FILES]) {
    const path = resolve(folder, candidate);
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === true) return path;
  }
  const [named] = main;
  throw named === undefined
    ? new UsageError(
        `${folder} has no index file.`,
        'Name one in package.json ("main"), or deploy the file itself.',
      )
    : new UsageError(
        `"main" in package.json is ${named}, which is not there.`,
        'Correct it, or build it first.',
      );
}

interface PackageFacts {
  readonly name: string | null;
  readonly main: readonly string[];
  readonly type: ModuleKind;
  readonly nodeRange: string | null;
}

/** What the folder's package.json says. @throws UsageError when it is not JSON */
function packageOf(folder: string): PackageFacts {
  const text = readIfThere(join(folder, 'package.json'));
  if (text === null) return { name: null, main: [], type: 'commonjs', nodeRange: null };
  let content: Record<string, unknown>;
  try {
    content = Object(JSON.parse(text)) as Record<string, unknown>;
  } catch (error) {
    throw new UsageError(`package.json is not JSON (${(error as Error).message}).`, 'Correct it.');
  }
  const main = [content['main'], content['module']].filter((path) => typeof path === 'string');
  const name = typeof content['name'] === 'string' && content['name'] !== '' ? content['name'] : null;
  const engines = Object(content['engines']) as Record<string, unknown>;
  const nodeRange = typeof engines['node'] === 'string' ? engines['node'] : null;
  return { name, main, type: content['type'] === 'module' ? 'esm' : 'commonjs', nodeRange };
}

function nodeRangeOf({ nodeRange }: PackageFacts): { readonly nodeRange?: string } {
  return nodeRange === null ? {} : { nodeRange };
}

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
