/** What a single file imports that no sandbox has: without a bundle it deploys, and fails at its first request. */
import { isBuiltin } from 'node:module';
import { basename, dirname } from 'node:path';

/** @returns the names as they are written, each once; none where the text is not understood: the platform says what is wrong */
export async function foreignImports(file: string): Promise<readonly string[]> {
  const { build } = await import('esbuild');
  const found = new Set<string>();
  const collect = {
    name: 'collect',
    setup(setup: import('esbuild').PluginBuild) {
      setup.onResolve({ filter: /.*/ }, ({ path, kind }) => {
        if (kind === 'entry-point') return undefined;
        const isPlain = kind === 'import-statement' || kind === 'require-call';
        if (isPlain && !isBuiltin(path)) found.add(path);
        return { path, external: true };
      });
    },
  };
  try {
    await build({
      absWorkingDir: dirname(file),
      entryPoints: [`./${basename(file)}`],
      bundle: true,
      write: false,
      platform: 'node',
      loader: { '': 'js' },
      logLevel: 'silent',
      plugins: [collect],
    });
  } catch {
    return []; // not JavaScript or TypeScript: the deploy tells where
  }
  return [...found];
}
