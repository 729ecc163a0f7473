import { mkdirSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import vm from 'node:vm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakePlatform } from '../client/testing/fake-platform.ts';
import { FakeTenants } from '../client/testing/fake-tenants.ts';
import { Terminal } from './testing/terminal.ts';

let platform: FakePlatform;
let fake: FakeTenants;
let terminal: Terminal;

beforeEach(async () => {
  platform = await FakePlatform.start();
  fake = new FakeTenants(platform);
  fake.add('acme');
  terminal = new Terminal();
  terminal.env = { BERTH_URL: platform.url, BERTH_TOKEN: platform.token, BERTH_TENANT: 'acme' };
});
afterEach(async () => {
  terminal.remove();
  await platform.close();
});

interface Deployed {
  readonly name: string;
  readonly source: string;
  readonly moduleKind: string;
  readonly filename?: string;
  readonly entry?: string;
  readonly sourceMap: string;
}

async function deploy(files: Record<string, string>, ...argv: string[]): Promise<Deployed> {
  terminal.write(files);
  const { code, stderr } = await terminal.run(['deploy', ...(argv.length === 0 ? ['app'] : argv)]);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  const request = platform.requests.findLast(({ method }) => method === 'PUT')!;
  return { ...request.body, name: request.path.split('/').at(-1)! } as unknown as Deployed;
}

/** What the bundle exports when it runs as CommonJS. */
function exportsOf(source: string): unknown {
  const module = { exports: {} };
  const require = createRequire('/index.js');
  vm.compileFunction(source, ['module', 'exports', 'require'])(module, module.exports, require);
  return module.exports;
}

describe('a folder', () => {
  it('is bundled with its packages; the name comes from package.json without the scope', async () => {
    const deployed = await deploy({
      'app/package.json': '{"name":"@acme/shop","main":"lib/main.js"}',
      'app/lib/main.js':
        'const add = require("add"); const os = require("os");\nmodule.exports = (req, res) => res.end(String(add(1, 2)) + typeof os.cpus);',
      'app/node_modules/add/package.json': '{"name":"add","main":"./add.js"}',
      'app/node_modules/add/add.js': 'module.exports = (a, b) => a + b;',
    });
    expect(deployed).toMatchObject({ name: 'shop', moduleKind: 'commonjs', entry: 'main.js' });
    let body = '';
    (exportsOf(deployed.source) as (req: null, res: object) => void)(null, {
      end: (text: string) => (body = text),
    });
    expect(body).toBe('3function');
  });

  it.each<[what: string, files: Record<string, string>, moduleKind: string]>([
    [
      'ES syntax',
      { 'app/index.ts': 'export default (request: Request): Response => new Response(request.url);' },
      'esm',
    ],
    ['CommonJS syntax', { 'app/index.js': 'module.exports = (cb) => cb(null, 1);' }, 'commonjs'],
    [
      'the type of the package',
      { 'app/package.json': '{"type":"module"}', 'app/index.js': 'globalThis.x = 1;' },
      'esm',
    ],
    [
      'the ending .cjs',
      { 'app/package.json': '{"type":"module"}', 'app/index.cjs': 'exports.handler = async () => 1;' },
      'commonjs',
    ],
    ['the ending .mts', { 'app/index.mts': 'export default () => 1;' }, 'esm'],
  ])('has the module kind of its entry, by %s', async (_what, files, moduleKind) => {
    const deployed = await deploy(files);
    expect(deployed).toMatchObject({ name: 'app', moduleKind });
    expect(() => exportsOf(deployed.source)).not.toThrow();
  });

  it('with top-level await becomes an ES module, in which CommonJS packages still work', async () => {
    const deployed = await deploy({
      'app/index.mjs':
        'import old from "old";\nconst value = await Promise.resolve(old());\nexport default () => new Response(value);',
      'app/node_modules/old/index.js':
        'const path = require("path"); module.exports = () => path.join("a", "b");',
    });
    expect(deployed.source).toMatch(/export\s*\{/);
    const url = `data:text/javascript,${encodeURIComponent(deployed.source)}`;
    const loaded = (await import(/* @vite-ignore */ url)) as { default: () => Response };
    expect(await loaded.default().text()).toBe('a/b');
  });

  it('has a source map that names the user’s files, and nothing of the machine', async () => {
    mkdirSync(join(terminal.folder, 'elsewhere'));
    const deployed = await deploy({
      'app/index.ts':
        'import { greet } from "./lib/greet.ts";\nimport { far } from "../elsewhere/far.ts";\nexport default () => new Response(greet() + far);',
      'app/lib/greet.ts': 'export const greet = (): string => "hi";',
      'elsewhere/far.ts': 'export const far = 1;',
    });
    const map = JSON.parse(deployed.sourceMap) as { sources: string[]; sourcesContent?: unknown };
    expect(map.sources.toSorted()).toEqual(['far.ts', 'index.ts', 'lib/greet.ts']);
    expect(map.sourcesContent).toBeUndefined();
    expect(JSON.stringify(deployed)).not.toContain(realpathSync(terminal.folder));
  });

  it.each<[what: string, files: Record<string, string>, told: string[]]>([
    [
      'a syntax error',
      { 'app/index.js': 'module.exports = () => {\n  let x = = 1;\n}' },
      ['index.js:2:11', 'deploy again'],
    ],
    [
      'a package that is not installed',
      { 'app/index.js': 'require("left-pad")' },
      ['left-pad', 'index.js:1:9', 'npm install'],
    ],
    ['a file that is not there', { 'app/index.js': 'require("./gone")' }, ['./gone', 'index.js:1:9']],
    ['no entry', { 'app/readme.md': '#' }, ['no index file', '"main"']],
    [
      'a main that is not there',
      { 'app/package.json': '{"main":"dist/x.js"}', 'app/y.js': '' },
      ['dist/x.js'],
    ],
    ['a package.json that is none', { 'app/package.json': '{', 'app/index.js': '' }, ['not JSON']],
  ])('tells about %s with its place', async (_what, files, told) => {
    terminal.write(files);
    const { code, stderr } = await terminal.run(['deploy', 'app']);
    expect([1, 2]).toContain(code);
    for (const text of told) expect(stderr).toContain(text);
    expect(platform.requests).toEqual([]);
  });
});

it('a single file is sent as it is, or bundled on demand', async () => {
  const files = {
    'src/index.js': 'module.exports = require("./two")',
    'src/two.js': 'module.exports = (cb) => cb(null, 2)',
  };
  const source = 'module.exports = require("node:util").noop';
  const plain = await deploy({ 'one/index.js': source }, 'one/index.js');
  expect(plain).toMatchObject({ name: 'one', source, filename: 'index.js' });
  const bundled = await deploy(files, 'src/index.js', '--bundle', '-n', 'two');
  expect(bundled.name).toBe('two');
  expect(exportsOf(bundled.source)).toBeTypeOf('function');
});
