/** Bundles what runs inside containers: `src/runtime`, which every sandbox runs, and `src/keeper`, beside services. */
import { createHash } from 'node:crypto';
import { mkdir, rename, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const sourceDir = fileURLToPath(new URL('../', import.meta.url));
const HASH_DIGITS = 16;
const FILE_MODE = 0o644;

/** The schemas of the contracts check what comes out of a sandbox; inside it nothing is checked with them. */
const withoutSchemas: esbuild.Plugin = {
  name: 'without-schemas',
  setup: (build) => {
    build.onResolve({ filter: /^zod$/ }, () => ({ path: 'zod', namespace: 'no-schemas' }));
    build.onLoad({ filter: /.*/, namespace: 'no-schemas' }, () => ({
      contents:
        'const any = new Proxy(function () {}, { get: () => any, apply: () => any }); export { any as z };',
      loader: 'js',
    }));
  },
};

interface Bundle {
  readonly name: 'runtime' | 'keeper';
  readonly inject: readonly string[];
}

const runtime: Bundle = { name: 'runtime', inject: ['runtime/captured-globals.ts'] };
const keeper: Bundle = { name: 'keeper', inject: [] };

export interface BundlePlace {
  /** Is made when it is not there; the file in it is readable by every uid. */
  readonly outDir: string;
}

/**
 * @returns the path of the bundle, whose name holds the hash of its content; building again gives the same path for the
 *   same sources
 * @throws when the sources do not build or the folder cannot be written
 */
export function buildRuntimeBundle(place: BundlePlace): Promise<string> {
  return build(runtime, place);
}

/** As `buildRuntimeBundle`. */
export function buildKeeperBundle(place: BundlePlace): Promise<string> {
  return build(keeper, place);
}

async function build({ name, inject }: Bundle, { outDir }: BundlePlace): Promise<string> {
  const { outputFiles } = await esbuild.build({
    entryPoints: [path.join(sourceDir, name, 'main.ts')],
    inject: inject.map((file) => path.join(sourceDir, file)),
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    // The oldest Node that sandboxes can be made with.
    target: 'node22',
    logLevel: 'silent',
    legalComments: 'none',
    plugins: [withoutSchemas],
  });
  const { contents } = outputFiles[0]!;
  const hash = createHash('sha256').update(contents).digest('hex').slice(0, HASH_DIGITS);
  const file = path.join(outDir, `${name}-${hash}.cjs`);
  await mkdir(outDir, { recursive: true });
  if (!(await isThere(file, contents.length))) {
    const unfinished = `${file}.${process.pid}.tmp`;
    await writeFile(unfinished, contents, { mode: FILE_MODE });
    await rename(unfinished, file);
  }
  return file;
}

/** Ends esbuild's process, where nothing else is built; the next build starts one anew. */
export async function stopBundler(): Promise<void> {
  await esbuild.stop();
}

async function isThere(file: string, bytes: number): Promise<boolean> {
  try {
    return (await stat(file)).size === bytes;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
