/** Bundles a function of `test/fixtures/functions` as the CLI bundles a folder. */
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const fixtures = new URL('../fixtures/functions/', import.meta.url);

export async function bundleFixture(name: string): Promise<{ code: Buffer; sourceMap: Buffer }> {
  const { outputFiles } = await esbuild.build({
    entryPoints: [fileURLToPath(new URL(name, fixtures))],
    absWorkingDir: fileURLToPath(fixtures),
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    sourcemap: 'external',
    outfile: 'index.js',
    logLevel: 'silent',
    // What belongs to other frameworks and is loaded only when it is there.
    external: ['bufferutil', 'utf-8-validate'],
  });
  const [sourceMap, code] = outputFiles;
  return { code: Buffer.from(code!.contents), sourceMap: Buffer.from(sourceMap!.contents) };
}
