import { build } from 'esbuild';
import { afterAll, describe, expect, it } from 'vitest';
import { BerthError } from '../contracts/errors.ts';
import { createPreparer } from './code-preparer.ts';
import type { DeploySource, Prepared } from './preparer.ts';

const preparer = createPreparer();
afterAll(() => preparer.close());

type Extra = Partial<Omit<DeploySource, 'source'>>;

async function prepare(text: string, extra: Extra | string = {}): Promise<Prepared> {
  const rest = typeof extra === 'string' ? { filename: extra } : { filename: 'index.js', ...extra };
  return preparer.prepare({ owner: 'acme', source: Buffer.from(text), ...rest });
}

async function failure(text: string, extra: Extra | string = {}): Promise<BerthError> {
  const error: unknown = await prepare(text, extra).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(BerthError);
  return error as BerthError;
}

/** As the CLI makes it (src/cli/bundle.ts), with a module `value`. */
async function bundled(contents: string): Promise<string> {
  const value =
    'export const value = () => 1; export const fetch = () => 1; export default (request) => request;';
  const { outputFiles } = await build({
    stdin: { contents, loader: 'ts', sourcefile: 'main.ts' },
    plugins: [
      {
        name: 'value',
        setup({ onLoad, onResolve }) {
          onResolve({ filter: /^value$/ }, () => ({ path: 'value', namespace: 'value' }));
          onLoad({ filter: /./, namespace: 'value' }, () => ({ contents: value }));
        },
      },
    ],
    write: false,
    bundle: true,
    format: 'cjs',
    platform: 'node',
    keepNames: true,
  });
  return outputFiles[0]!.text;
}

const codeOf = ({ prepared }: Prepared): string => Buffer.from(prepared.code).toString();

describe('the form', () => {
  it.each([
    ['module.exports = function (cb) {}', 'webtask'],
    ['module.exports = (ctx, cb) => cb()', 'webtask'],
    ['"use latest";\nmodule.exports = (ctx, req, res) => {}', 'webtask'],
    ['return function (ctx, cb) { cb() }', 'webtask'],
    ['return ctx => ctx.data', 'context'],
    ['module.exports = async (ctx) => 1', 'context'],
    ['module.exports = async ({ data, body }) => 1', 'context'],
    ['exports = module.exports = handler;\nfunction handler(req, res) {}', 'node'],
    ['const app = (req, res = {}) => {}\nmodule.exports = app', 'node'],
    ['exports.handler = async (event) => {}', 'lambda'],
    ['module.exports.handler = function (event, context, callback) {}', 'lambda'],
    ['module.exports = { handler: async () => {} }', 'lambda'],
    ['function handler() {}\nmodule.exports = { handler }', 'lambda'],
    ['module.exports = { fetch(request) {} }', 'fetch'],
    ['const x = require("./app");\nmodule.exports = x', 'auto'],
    ['const app = require("express")();\nmodule.exports = app', 'auto'],
    ['module.exports = class {}', 'auto'],
    ['let f = (cb) => {};\nf = require("x");\nmodule.exports = f', 'auto'],
    ['if (a) module.exports = (cb) => {}', 'auto'],
    ['const http = require("http");\nhttp.createServer(() => {}).listen(1)', 'auto'],
    ['module.exports = __toCommonJS(entry)', 'auto'],
  ])('of %j is %s', async (text, form) => {
    expect(await prepare(text)).toMatchObject({
      form,
      isFormFixed: false,
      moduleKind: 'commonjs',
      evaluate: 'script',
    });
  });

  it.each([
    ['export default function (request) {}', 'fetch'],
    ['export default () => new Response()', 'fetch'],
    ['export default { fetch(request, env, ctx) {} }', 'fetch'],
    ['const worker = { async fetch() {} };\nexport default worker', 'fetch'],
    ['export default async (ctx) => 1', 'context'],
    ['export default async function ({ data }) {}', 'context'],
    ['export default (req, res) => res.end()', 'node'],
    ['export const handler = async (event) => {}', 'lambda'],
    ['export async function handler(event) {}', 'lambda'],
    ['const handler = 1;\nexport { handler }', 'lambda'],
    ['const f = (cb) => {};\nexport { f as default }', 'webtask'],
    ['import http from "node:http";\nexport default http.createServer()', 'auto'],
    ['export { default } from "./x.js"', 'auto'],
    ['const x = await 1;\nexport default () => x', 'fetch'],
  ])('of the ES module %j is %s', async (text, form) => {
    expect(await prepare(text)).toMatchObject({ form, moduleKind: 'esm', evaluate: 'module' });
  });

  it('that was set by hand wins and is marked', async () => {
    const prepared = await prepare('module.exports = (a, b) => {}', { form: 'node' });
    expect([prepared.form, prepared.isFormFixed]).toEqual(['node', true]);
  });

  it('of a bundle follows the module kind that it was made from', async () => {
    const prepared = await prepare('module.exports = () => new Response()', { moduleKind: 'esm' });
    expect(prepared).toMatchObject({ form: 'fetch', moduleKind: 'esm', evaluate: 'script' });
  });

  it.each([
    ['export default { fetch(request: Request) { return new Response(value); } }', 'fetch'],
    ['export default (request: Request) => new Response(value)', 'fetch'],
    ['export default (req: object, res: object) => [req, res, value]', 'node'],
    ['export default function later(ctx: object, cb: () => void) { cb(); }', 'webtask'],
    ['export const handler = async (event: object) => [event, value]', 'lambda'],
    ['export { default } from "value"', 'fetch'],
    ['export * from "value"', 'fetch'],
    ['export default value()', 'auto'],
    ['export const other = value', 'auto'],
  ])('of a bundle of the ES module %j is %s', async (text, form) => {
    const text2 = `import { value } from "value";\n${text}`;
    expect(await prepare(await bundled(text2), { moduleKind: 'esm', entry: 'main.ts' })).toMatchObject({
      form,
      moduleKind: 'esm',
      language: 'typescript',
      filename: 'main.ts',
    });
  });

  it.each([
    ['module.exports = (cb) => cb(null, require("value"))', 'webtask'],
    ['exports.handler = async (event) => require("value")', 'lambda'],
    ['module.exports = require("value").value()', 'auto'],
  ])('of a bundle of the CommonJS module %j is %s', async (text, form) => {
    const prepared = await prepare(await bundled(text), { moduleKind: 'commonjs', entry: 'main.js' });
    expect(prepared).toMatchObject({ form, language: 'javascript', filename: 'main.js' });
  });

  it('is refused where plainly nothing is exported', async () => {
    expect((await failure('const a = 1 + 1')).code).toBe('FORM_UNKNOWN');
    expect((await failure('')).code).toBe('FORM_UNKNOWN');
    expect((await failure('import fs from "fs"; fs.readFileSync("/x")')).code).toBe('FORM_UNKNOWN');
  });
});

describe('JavaScript', () => {
  it('stays as it is, byte for byte', async () => {
    const text = '#!/usr/bin/env node\n// ünï\nmodule.exports = (cb) => { with ({}) { cb(null, 010) } }\r\n';
    expect(codeOf(await prepare(text))).toBe(text);
  });

  it('is an ES module by its ending alone', async () => {
    expect(await prepare('export default () => {}', 'a.mjs')).toMatchObject({ evaluate: 'module' });
    expect((await failure('export default () => {}', 'a.cjs')).code).toBe('CODE_INVALID');
  });

  it.each([
    ['module.exports = function (cb) {\n  cb(null, {;\n}', 2, 13],
    ['export default {\n  a b\n}', 2, 5],
    ['let a;\nlet a;\nmodule.exports = (cb) => {}', 2, 5],
    ['module.exports = (cb) => await cb()', 1, 32],
  ])('that is broken is refused with line and column: %j', async (text, line, column) => {
    const error = await failure(text, 'hello.js');
    expect(error.code).toBe('CODE_INVALID');
    expect(error.facts).toMatchObject({ file: 'hello.js', line, column });
    expect(String(error.facts.reason)).not.toMatch(/\/|berth/);
  });

  it.each(['index.js', 'index.ts'])(
    'that imports and assigns module.exports is CommonJS (%s)',
    async (filename) => {
      const mixed =
        '"use latest";\nimport { join } from "node:path";\nmodule.exports = (ctx, cb) => cb(null, join("a", "b"));';
      const prepared = await prepare(mixed, filename);
      expect(prepared).toMatchObject({ form: 'webtask', moduleKind: 'commonjs', evaluate: 'script' });
      expect(codeOf(prepared)).toContain('require("node:path")');
      expect(prepared.prepared.sourceMap).not.toBeNull();
    },
  );

  it('that imports and assigns module.exports in a file that is an ES module by its ending stays one', async () => {
    const prepared = await prepare('import fs from "fs";\nmodule.exports = fs', 'index.mjs');
    expect(prepared).toMatchObject({ moduleKind: 'esm', evaluate: 'module' });
  });

  it('with JSX is transpiled', async () => {
    const prepared = await prepare('export default () => <a>{1}</a>', 'page.jsx');
    expect(codeOf(prepared)).toContain('React.createElement');
    expect(prepared.prepared.sourceMap).not.toBeNull();
  });
});

describe('a syntax error', () => {
  it.each([
    ['module.exports = (cb) => {\n  let a = ;\n}', 'Unexpected ";"', 2, 11],
    ['module.exports = (cb) => cb(null, 1', 'Unexpected end of the code', 1, 36],
    ['let a = 1 otherwise', 'Unexpected "otherwise"', 1, 11],
  ])('of %j says at what and where', async (text, reason, line, column) => {
    const error = await failure(text);
    expect(error).toMatchObject({ code: 'CODE_INVALID', facts: { reason, line, column } });
  });
});

describe('TypeScript', () => {
  it('keeps its lines and columns, and needs no map', async () => {
    const text =
      'interface A {\n  b: number;\n}\nexport default (request: Request): Response => new Response(String((1 as number)));\n';
    const prepared = await prepare(text, 'hello.ts');
    expect(prepared).toMatchObject({ language: 'typescript', form: 'fetch', evaluate: 'module' });
    expect(prepared.prepared.sourceMap).toBeNull();
    expect(codeOf(prepared)).toHaveLength(text.length);
    expect(codeOf(prepared).split('\n')[3]).toMatch(/^export default \(request {9}\)/);
  });

  it('loses imports that are types only', async () => {
    const text = [
      "import http, { IncomingMessage, createServer, type Server } from 'node:http';",
      "import { Handler } from './types';",
      'const x = { Handler: 1 };',
      'export default (req: IncomingMessage, res: Handler) => createServer(http, x.Handler);',
    ].join('\n');
    const code = codeOf(await prepare(text, 'a.ts'));
    expect(code).not.toContain('IncomingMessage');
    expect(code).not.toContain('./types');
    expect(code).toMatch(/^import http, \{ +createServer, +\} from 'node:http';/);
  });

  it.each([
    'enum Color { Red }\nexport default () => new Response(String(Color.Red))',
    'namespace N { export const a = 1 }\nexport default () => new Response(String(N.a))',
    'class A { constructor(readonly a: number) {} }\nexport default () => new Response(String(new A(1).a))',
  ])('that is more than types is transpiled with a map: %j', async (text) => {
    const prepared = await prepare(text, 'a.ts');
    expect(prepared).toMatchObject({ form: 'fetch', evaluate: 'module' });
    const map = JSON.parse(Buffer.from(prepared.prepared.sourceMap!).toString()) as { sources: string[] };
    expect(map.sources).toEqual(['a.ts']);
  });

  it('may be CommonJS', async () => {
    const text =
      'const a: number = 1;\nmodule.exports = (ctx: unknown, cb: (e: null, r: number) => void) => cb(null, a);';
    expect(await prepare(text, 'a.ts')).toMatchObject({ form: 'webtask', evaluate: 'script' });
    expect(
      await prepare('import fs = require("node:fs");\nexport = (cb: any) => cb(null, fs);', 'a.cts'),
    ).toMatchObject({
      evaluate: 'script',
      moduleKind: 'commonjs',
    });
  });

  it.each([
    ['export default (a: number {\n}', 1, 27],
    ['const a: = 1;\nexport default a', 1, 10],
    ['export default () => {}\nlet x: string = `', 2, 17],
  ])('that is broken is refused with line and column: %j', async (text, line, column) => {
    const error = await failure(text, 'hello.ts');
    expect(error.code).toBe('CODE_INVALID');
    expect(error.facts).toMatchObject({ file: 'hello.ts', line });
    expect(Math.abs(Number(error.facts.column) - column)).toBeLessThanOrEqual(1);
  });
});

describe('a source map that comes with a bundle', () => {
  const map = {
    version: 3,
    sources: ['src/app.ts'],
    sourcesContent: ['secret'],
    names: [],
    mappings: 'AAAA',
  };

  it('is kept without the sources', async () => {
    const prepared = await prepare('module.exports = (cb) => {}', {
      sourceMap: Buffer.from(JSON.stringify(map)),
    });
    const kept = JSON.parse(Buffer.from(prepared.prepared.sourceMap!).toString()) as object;
    expect(kept).toEqual({ version: 3, sources: ['src/app.ts'], names: [], mappings: 'AAAA' });
  });

  it('is refused before it is made when it has more values than a map needs', async () => {
    const text = `{"version":3,"mappings":"","sources":[],"names":[${'{},'.repeat(200_000)}{}]}`;
    const error = await failure('module.exports = (cb) => {}', { sourceMap: Buffer.from(text) });
    expect(error.message).toContain('values');
  });

  it.each(['nonsense', '[]', '{"version":2}', '{"version":3,"mappings":"","sources":[1]}'])(
    'is refused when it is %s',
    async (text) => {
      const error = await failure('module.exports = (cb) => {}', { sourceMap: Buffer.from(text) });
      expect(error.code).toBe('BAD_REQUEST');
    },
  );
});

describe('hostile text', () => {
  const deep = 100_000;

  it.each([
    ['brackets', `module.exports = ${'['.repeat(deep)}${']'.repeat(deep)}`, 'a.js'],
    ['operators', `module.exports = ${'!'.repeat(deep)}1`, 'a.js'],
    ['functions', `module.exports = ${'()=>'.repeat(deep)}1`, 'a.js'],
    ['types', `export default (a: ${'['.repeat(deep)}${']'.repeat(deep)}) => a`, 'a.ts'],
    ['blocks', `enum A {}; ${'{'.repeat(deep)}${'}'.repeat(deep)}; export default () => 1`, 'a.ts'],
    ['elements', `export default ${'<a>'.repeat(deep)}${'</a>'.repeat(deep)}`, 'a.jsx'],
  ])('of deep %s is refused or left to the runtime', async (_what, text, filename) => {
    const outcome = await prepare(text, filename).catch((error: unknown) => error);
    if (outcome instanceof BerthError) expect(outcome.code).toBe('CODE_INVALID');
    else expect(outcome).toHaveProperty('evaluate');
    expect((await prepare('module.exports = (cb) => {}')).form).toBe('webtask');
  });

  it('of empty lines holds up nobody: the place of its error comes at once', async () => {
    // With a search that starts anew on each line this took minutes, and everybody's next deploy waited for it.
    expect(await failure(`${'\n'.repeat(400_000)})`)).toMatchObject({
      code: 'CODE_INVALID',
      facts: { reason: 'Unexpected ")"', line: 400_001 },
    });
  });

  it('may hold long lists, also in TypeScript', async () => {
    const list = `import type { A } from './a.ts';\nexport default { fetch: () => [${'1,'.repeat(200_000)}] };`;
    expect(await prepare(list, 'a.ts')).toMatchObject({ form: 'fetch', evaluate: 'module' });
  });

  it('that is large is not looked at more closely', async () => {
    const text = `module.exports = (cb) => cb(null, "${'x'.repeat(3_000_000)}")`;
    expect(await prepare(text)).toMatchObject({ form: 'auto', evaluate: 'script' });
    const error = await failure(`${text}\n}`, 'big.js');
    expect(error.facts).toMatchObject({ file: 'big.js', line: 2, column: 1 });
  });

  it('that is large is not transpiled', async () => {
    const error = await failure(`enum A {}\nexport default () => "${'x'.repeat(600_000)}"`, 'big.ts');
    expect(error.code).toBe('CODE_INVALID');
    expect(error.message).toContain('524288');
  });

  it('that is too large or not UTF-8 is refused', async () => {
    const small = createPreparer({ maxSourceBytes: 10 });
    await expect(
      small.prepare({ owner: 'acme', source: Buffer.alloc(11), filename: 'a.js' }),
    ).rejects.toMatchObject({
      code: 'CODE_TOO_LARGE',
    });
    await small.close();
    await expect(
      preparer.prepare({ owner: 'acme', source: Buffer.of(0xff, 0xfe), filename: 'a.js' }),
    ).rejects.toMatchObject({ code: 'CODE_INVALID' });
  });
});

it('tenants take turns, however much one of them sends', async () => {
  const text = `module.exports = () => [${'1,'.repeat(20_000)}]`;
  const done: string[] = [];
  const send = (owner: string, n: number): Promise<unknown> =>
    prepare(`${text} // ${owner}${n}`, { owner }).then(() => done.push(owner));
  await Promise.all([...[1, 2, 3, 4, 5, 6].map((n) => send('greedy', n)), send('other', 1)]);
  expect(done.indexOf('other')).toBeLessThanOrEqual(2);
});
