/** Each programming model in each language form, deployed and called on the jail driver as users do. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { projectRoot, TestPlatform } from '../support/platform.ts';

let platform: TestPlatform;
let folder: string;

beforeAll(async () => {
  platform = await TestPlatform.start();
  folder = await mkdtemp(join(tmpdir(), 'berth-forms-'));
  await platform.createTenant('acme');
});

afterAll(async () => {
  await platform.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Case {
  readonly form: string;
  readonly file: string;
  readonly source: string;
  readonly answer: string;
}

const cases: Record<string, Case> = {
  'webtask (cb), CommonJS': {
    form: 'webtask',
    file: 'a.js',
    source: 'module.exports = function (cb) { cb(null, { hi: 1 }); };',
    answer: '{"hi":1}',
  },
  'webtask (ctx, cb), CommonJS': {
    form: 'webtask',
    file: 'a.js',
    source: 'module.exports = (ctx, cb) => cb(null, { q: ctx.query.name });',
    answer: '{"q":"you"}',
  },
  'webtask (ctx, req, res), CommonJS': {
    form: 'webtask',
    file: 'a.js',
    source: 'module.exports = (ctx, req, res) => res.end(req.method + ctx.data.name);',
    answer: 'POSTyou',
  },
  'webtask, top-level return': {
    form: 'webtask',
    file: 'a.js',
    source: '"use latest";\nreturn function (ctx, cb) { cb(null, ctx.body.x); }',
    answer: '5',
  },
  'webtask (ctx, cb), ES module': {
    form: 'webtask',
    file: 'a.mjs',
    source: 'export default function (ctx, cb) { cb(null, ctx.query.name); }',
    answer: '"you"',
  },
  'webtask (ctx, cb), TypeScript': {
    form: 'webtask',
    file: 'a.ts',
    source:
      'type Callback = (error: Error | null, value: unknown) => void;\nmodule.exports = (ctx: { query: Record<string, string> }, cb: Callback) => cb(null, ctx.query.name);',
    answer: '"you"',
  },
  'async (ctx), CommonJS': {
    form: 'context',
    file: 'a.js',
    source: 'module.exports = async (ctx) => ({ name: ctx.query.name });',
    answer: '{"name":"you"}',
  },
  'async (ctx), ES module': {
    form: 'context',
    file: 'a.mjs',
    source: 'export default async (ctx) => ({ name: ctx.query.name });',
    answer: '{"name":"you"}',
  },
  'async (ctx), TypeScript': {
    form: 'context',
    file: 'a.ts',
    source:
      'enum Kind { One = 1 }\nexport default async (ctx: { query: { name: string } }): Promise<object> => ({ name: ctx.query.name, kind: Kind.One });',
    answer: '{"name":"you","kind":1}',
  },
  'a webtask that returns a promise': {
    form: 'webtask',
    file: 'a.js',
    source: 'module.exports = (ctx, cb) => Promise.resolve({ by: "promise" });',
    answer: '{"by":"promise"}',
  },
  'Node (req, res), CommonJS': {
    form: 'node',
    file: 'a.js',
    source:
      'module.exports = (req, res) => { let b = ""; req.on("data", (c) => (b += c)).on("end", () => res.end(req.url + b)); };',
    answer: '/?name=you{"x":5}',
  },
  'Node (req, res), ES module': {
    form: 'node',
    file: 'a.mjs',
    source:
      'import { createHash } from "node:crypto";\nexport default (req, res) => res.end(createHash("md5").update(req.method).digest("hex"));',
    answer: 'a02439ec229d8be0e74b0c1602392310',
  },
  'Node (req, res), TypeScript': {
    form: 'node',
    file: 'a.ts',
    source:
      'import type { IncomingMessage, ServerResponse } from "node:http";\nexport default function (req: IncomingMessage, res: ServerResponse): void { res.setHeader("x-a", "b").end(String(req.headers["content-type"])); }',
    answer: 'application/json',
  },
  'Node http.Server, CommonJS': {
    form: 'auto',
    file: 'a.js',
    source: 'module.exports = require("http").createServer((req, res) => res.end("server"));',
    answer: 'server',
  },
  'web standard object, ES module': {
    form: 'fetch',
    file: 'a.mjs',
    source:
      'export default { async fetch(request, env, ctx) { ctx.waitUntil(Promise.resolve()); return Response.json({ got: await request.json(), path: new URL(request.url).search }); } };',
    answer: '{"got":{"x":5},"path":"?name=you"}',
  },
  'web standard function, ES module': {
    form: 'fetch',
    file: 'a.mjs',
    source: 'export default (request) => new Response(request.method);',
    answer: 'POST',
  },
  'web standard function with top-level await': {
    form: 'fetch',
    file: 'a.mjs',
    source: 'const word = await Promise.resolve("late");\nexport default () => new Response(word);',
    answer: 'late',
  },
  'web standard object, TypeScript': {
    form: 'fetch',
    file: 'a.ts',
    source:
      'interface Env { WHO: string }\nexport default { fetch: async (request: Request, env: Env): Promise<Response> => new Response(env.WHO) };',
    answer: 'secret-who',
  },
  'web standard object, CommonJS': {
    form: 'fetch',
    file: 'a.js',
    source: 'module.exports = { fetch: (request) => new Response("cjs " + request.method) };',
    answer: 'cjs POST',
  },
  'Lambda, CommonJS': {
    form: 'lambda',
    file: 'a.js',
    source:
      'exports.handler = async (event, context) => ({ statusCode: 200, headers: { "x-a": "b" }, body: event.body + event.queryStringParameters.name });',
    answer: '{"x":5}you',
  },
  'Lambda, ES module': {
    form: 'lambda',
    file: 'a.mjs',
    source: 'export const handler = async (event) => ({ path: event.rawPath });',
    answer: '{"path":"/"}',
  },
  'Lambda, TypeScript': {
    form: 'lambda',
    file: 'a.ts',
    source:
      'export const handler = async (event: { body: string }): Promise<unknown> => ({ statusCode: 200, body: event.body });',
    answer: '{"x":5}',
  },
};

describe('one file', () => {
  for (const [what, { form, file, source, answer }] of Object.entries(cases)) {
    it(`${what} is seen as ${form} and answers`, async () => {
      const name = `f${Object.keys(cases).indexOf(what)}`;
      const { revision } = await platform.deploy('acme', name, source, {
        filename: file,
        secrets: { WHO: 'secret-who' },
      });
      expect(revision.form).toBe(form);
      const response = await platform.call('acme', name, {
        method: 'POST',
        path: '?name=you',
        body: '{"x":5}',
        headers: { 'content-type': 'application/json' },
      });
      expect(await response.text()).toBe(answer);
      expect(response.status).toBe(200);
    });
  }

  it('the form can be set by hand', async () => {
    const { revision } = await platform.deploy(
      'acme',
      'byhand',
      'module.exports = (a, b) => b.end("node");',
      { form: 'node' },
    );
    expect(revision.form).toBe('node');
    expect(await (await platform.call('acme', 'byhand')).text()).toBe('node');
  });

  it('TypeScript without a file name is seen as such', async () => {
    await platform.deploy(
      'acme',
      'unnamed',
      'export default (request: Request): Response => new Response("ts");',
    );
    expect(await (await platform.call('acme', 'unnamed')).text()).toBe('ts');
    const broken = await platform.api('PUT', '/v1/tenants/acme/functions/unnamed', { source: 'const a = ;' });
    expect(broken.body).toMatchObject({ code: 'CODE_INVALID', file: 'index.js', line: 1, column: 11 });
  });

  it('a result that throws when it is looked at fails at once', async () => {
    const hostile = 'new Proxy({}, { get() { throw new Error("no"); }, getPrototypeOf() { throw 1; } })';
    await platform.deploy('acme', 'proxy', `module.exports = (ctx, cb) => cb(null, ${hostile});`);
    expect((await platform.call('acme', 'proxy')).status).toBeGreaterThanOrEqual(400);
    await platform.deploy('acme', 'proxy', `module.exports = (ctx, cb) => cb(${hostile});`);
    expect((await platform.call('acme', 'proxy')).status).toBeGreaterThanOrEqual(400);
  }, 20_000);

  it('a TypeScript error shows the line of the source', async () => {
    const source =
      'interface A {\n  a: string;\n}\nenum E { X }\nexport default (request: Request): Response => {\n  const a: A = { a: "" };\n  throw new Error("boom " + a.a + E.X);\n};\n';
    await platform.deploy('acme', 'thrower', source, { filename: 'thrower.ts' });
    expect(await platform.problem('acme', 'thrower')).toMatchObject({ code: 'FUNCTION_FAILED', status: 500 });
    await expect
      .poll(async () => JSON.stringify(await platform.logs('acme', 'thrower')), { timeout: 5_000 })
      .toMatch(/thrower\.ts:7:9/);
  });

  it('a syntax error is answered at deploy with file, line and column', async () => {
    const { status, body } = await platform.api('PUT', '/v1/tenants/acme/functions/broken', {
      source: 'const a = 1;\nconst b = ;\n',
      filename: 'broken.ts',
    });
    expect(status).toBe(400);
    expect(body).toMatchObject({ code: 'CODE_INVALID', file: 'broken.ts', line: 2, column: 11 });
  });
});

const folders: Record<string, { files: Record<string, string>; answer: string }> = {
  'Express, CommonJS': {
    files: {
      'index.js':
        'const app = require("express")();\napp.use(require("express").json());\napp.post("/a/:b", (req, res) => res.json({ b: req.params.b, body: req.body }));\nmodule.exports = app;',
    },
    answer: '{"b":"z","body":{"x":5}}',
  },
  'Express, ES module': {
    files: {
      'index.mjs':
        'import express from "express";\nconst app = express();\napp.post("/a/:b", (req, res) => res.send("esm " + req.params.b));\nexport default app;',
    },
    answer: 'esm z',
  },
  'Express, TypeScript': {
    files: {
      'index.ts':
        'import express, { type Request, type Response } from "express";\nimport { word } from "./word";\nconst app = express();\napp.post("/a/:b", (req: Request, res: Response) => { res.send(word + req.params.b); });\nexport default app;',
      'word.ts': 'export const word: string = "ts ";',
    },
    answer: 'ts z',
  },
  'Koa, CommonJS': {
    files: {
      'index.js':
        'const Koa = require("koa");\nconst app = new Koa();\napp.use(async (ctx) => { ctx.body = { koa: ctx.path }; });\nmodule.exports = app;',
    },
    answer: '{"koa":"/a/z"}',
  },
  'Fastify, CommonJS': {
    files: {
      'index.js':
        'const app = require("fastify")();\napp.post("/a/:b", async (request) => ({ b: request.params.b, body: request.body }));\nmodule.exports = app;',
    },
    answer: '{"b":"z","body":{"x":5}}',
  },
  'Hono, ES module': {
    files: {
      'index.mjs':
        'import { Hono } from "hono";\nconst app = new Hono();\napp.post("/a/:b", async (c) => c.json({ b: c.req.param("b"), body: await c.req.json() }));\nexport default app;',
    },
    answer: '{"b":"z","body":{"x":5}}',
  },
  'an http listener in a folder': {
    files: {
      'package.json': '{"name":"x","main":"lib/main.js"}',
      'lib/main.js':
        'const { greet } = require("./greet");\nmodule.exports = (req, res) => res.end(greet(req.url));',
      'lib/greet.js': 'exports.greet = (url) => "hello " + url;',
    },
    answer: 'hello /a/z',
  },
};

async function deployFolder(name: string, files: Record<string, string>): Promise<void> {
  const path = join(folder, name);
  for (const [file, text] of Object.entries(files)) {
    await mkdir(dirname(join(path, file)), { recursive: true });
    await writeFile(join(path, file), text);
  }
  await symlink(join(projectRoot, 'node_modules'), join(path, 'node_modules'));
  await promisify(execFile)(
    process.execPath,
    [
      'bin/berth.mjs',
      'deploy',
      path,
      '--name',
      name,
      '--tenant',
      'acme',
      '--url',
      platform.url,
      '--token',
      platform.token,
    ],
    { cwd: projectRoot },
  );
}

describe('a folder, bundled by the CLI', () => {
  for (const [what, { files, answer }] of Object.entries(folders)) {
    it(`${what} answers`, async () => {
      const name = `d${Object.keys(folders).indexOf(what)}`;
      await deployFolder(name, files);
      const response = await platform.call('acme', name, {
        method: 'POST',
        path: '/a/z',
        body: '{"x":5}',
        headers: { 'content-type': 'application/json' },
      });
      expect(await response.text()).toBe(answer);
    });
  }

  it('WebSockets pass through', async () => {
    await deployFolder('socket', {
      'index.js':
        'const { WebSocketServer } = require("ws");\nconst server = require("http").createServer((req, res) => res.end("plain"));\nnew WebSocketServer({ server }).on("connection", (socket, req) => socket.on("message", (data) => socket.send(req.url + " " + data)));\nmodule.exports = server;',
    });
    const socket = new WebSocket(`${platform.url.replace('http', 'ws')}/run/acme/socket/chat`);
    const answer = await new Promise<string>((resolve, reject) => {
      socket
        .on('open', () => socket.send('ahoy'))
        .on('message', (data: Buffer) => resolve(data.toString()))
        .on('error', reject);
    });
    socket.close();
    expect(answer).toBe('/chat ahoy');
    expect(await (await platform.call('acme', 'socket')).text()).toBe('plain');
  });

  it('server-sent events arrive one by one, and a client that goes is noticed', async () => {
    await platform.deploy(
      'acme',
      'events',
      `
      let aborted = 0;
      module.exports = (req, res) => {
        if (req.url === '/aborted') return res.end(String(aborted));
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        let n = 0;
        const timer = setInterval(() => res.write('data: ' + n++ + '\\n\\n'), 20);
        req.on('close', () => { clearInterval(timer); aborted++; });
      };`,
    );
    const controller = new AbortController();
    const response = await platform.call('acme', 'events', { signal: controller.signal });
    const reader = response.body!.getReader();
    const first = new TextDecoder().decode((await reader.read()).value);
    expect(first).toContain('data: 0');
    controller.abort();
    await expect
      .poll(async () => (await platform.call('acme', 'events', { path: '/aborted' })).text(), {
        timeout: 5_000,
      })
      .toBe('1');
  });
});

it('large code comes with bytecode, which its sandbox takes; stacks show its own lines', async () => {
  const filler = Array.from({ length: 8_000 }, (_, n) => `exports.f${n} = () => () => ${n};`).join('\n');
  const text = `${filler}\nmodule.exports = async () => { throw new Error('far below'); };`;
  const taken = (): Promise<number> => platform.metric('berth_bytecode_loads_total{outcome="taken"}');
  // The bundles of the tests before are large, too.
  const before = await taken();
  await platform.deploy('acme', 'large', text, { filename: 'large.js' });
  expect((await platform.call('acme', 'large')).status).toBe(500);
  await expect
    .poll(async () => JSON.stringify(await platform.logs('acme', 'large')), { timeout: 5_000 })
    .toContain('large.js:8001:');
  expect(await taken()).toBe(before + 1);
  expect(await platform.metric('berth_bytecode_loads_total{outcome="refused"}')).toBe(0);
});
