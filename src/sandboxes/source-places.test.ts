import { SourceMap, type SourceMapPayload } from 'node:module';
import { transformSync } from 'esbuild';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LoadSpec } from '../contracts/frames.ts';
import type { RevisionId } from '../contracts/ids.ts';
import { encodeLoad } from '../kernel/frame-heads.ts';
import { FakeClock } from '../kernel/testing/fake-clock.ts';
import { cpuMsOf } from '../kernel/testing/spent-cpu.ts';
import { originOf } from './source-map.ts';
import { SourcePlaces } from './source-places.ts';
import { makeRunnable } from './testing/world.ts';
import type { Runnable } from './sandboxes.ts';

const source = `
interface Query {
  name: string;
}

type Unused = { [key: string]: number };

export default async function spin(query: Query): Promise<never> {
  for (;;) {
    Math.random();
  }
}
`;
const { code, map } = transformSync(source, { loader: 'ts', sourcemap: 'external', sourcefile: 'hello.ts' });

function runnableWith(sourceMap: string | null): Runnable {
  const runnable = makeRunnable('hello');
  const { revision } = runnable;
  const spec = { revision, filename: 'hello.ts', form: 'fetch', moduleKind: 'esm' } as unknown as Omit<
    LoadSpec,
    'parts'
  >;
  const parts = {
    code: Buffer.from(code),
    sourceMap: sourceMap === null ? null : Buffer.from(sourceMap),
    bytecode: null,
  };
  return { ...runnable, load: () => Promise.resolve(encodeLoad(spec, parts)) };
}

const generatedLine = code.split('\n').findIndex((line) => line.includes('Math.random')) + 1;
const spinning = { functionName: 'spin', file: 'file:///fn/hello.ts', line: generatedLine, column: 5 };

describe('the place in a revision', () => {
  it('is that of the source as it was written', async () => {
    const places = new SourcePlaces(new FakeClock());
    expect(await places.resolve([spinning], runnableWith(map))).toEqual([
      { functionName: 'spin', file: 'hello.ts', line: 10, column: 5 },
    ]);
  });

  it('is that of the engine where there is no map, a broken one, or no revision any more', async () => {
    const places = new SourcePlaces(new FakeClock());
    const plain = [{ ...spinning, file: 'hello.ts' }];
    expect(await places.resolve([spinning], runnableWith(null))).toEqual(plain);
    expect(await places.resolve([spinning], runnableWith('{"mappings":7}'))).toEqual(plain);
    expect(await places.resolve([spinning], runnableWith('not JSON'))).toEqual(plain);
    const gone = { ...makeRunnable('hello'), load: () => Promise.reject(new Error('deleted')) };
    expect(await places.resolve([spinning], gone)).toEqual(plain);
    const another = { ...runnableWith(map), revision: `r${'1'.repeat(24)}` as RevisionId };
    expect(await places.resolve([spinning], another)).toEqual(plain);
    expect(await places.resolve([], gone)).toEqual([]);
  });

  it('is not looked up again and again: the host rests', async () => {
    const clock = new FakeClock();
    let now = 1_000;
    clock.monotonic = () => (now += 10);
    const places = new SourcePlaces(clock);
    const runnable = runnableWith(map);
    expect((await places.resolve([spinning], runnable))[0]?.line).toBe(10);
    expect((await places.resolve([spinning], runnable))[0]?.line).toBe(generatedLine);
    now += 1_000;
    expect((await places.resolve([spinning], runnable))[0]?.line).toBe(10);
  });
});

describe('one position of a source map', () => {
  it('is what Node finds in it', () => {
    const whole = new SourceMap(JSON.parse(map) as SourceMapPayload);
    const lines = code.split('\n');
    for (let line = 1; line <= lines.length; line++)
      for (let column = 1; column <= lines[line - 1]!.length; column++) {
        const entry = whole.findEntry(line - 1, column - 1);
        const found = originOf(Buffer.from(map), { line, column });
        if (found === null || !('originalSource' in entry)) continue;
        expect(found).toEqual({
          source: 'hello.ts',
          line: entry.originalLine + 1,
          column: entry.originalColumn + 1,
        });
      }
    expect(originOf(Buffer.from(map), { line: generatedLine, column: 5 })).not.toBeNull();
  });

  it('is nothing, and no failure, in whatever is not a map', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 4 }), (mappings, line) => {
        const json = Buffer.from(JSON.stringify({ mappings, sources: ['a', null] }));
        const found = originOf(json, { line, column: 3 });
        expect(found === null || found.source === 'a').toBe(true);
      }),
    );
    expect(originOf(Buffer.from('[]'), { line: 1, column: 1 })).toBeNull();
  });

  it('is found quickly in a large map', async () => {
    const mappings = `${'AACA,'.repeat(200)};`.repeat(4_000);
    const json = Buffer.from(JSON.stringify({ mappings, sources: ['a.js'] }));
    const ms = await cpuMsOf(() => expect(originOf(json, { line: 3_999, column: 1 })?.source).toBe('a.js'));
    expect(ms).toBeLessThan(1_000);
  });
});
