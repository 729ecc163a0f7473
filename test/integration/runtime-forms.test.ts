import { describe, expect, it } from 'vitest';
import type { WebtaskSpec } from '../../src/contracts/frames.ts';
import { deploy, json, start } from './runtime-deploy.ts';
import type { PeerInvocation } from './runtime-peer.ts';

const webtask: WebtaskSpec = {
  container: 'acme',
  name: 'hello',
  urlFormat: 1,
  parseBody: 2,
  mergeBody: false,
  params: { color: 'red', shared: 'param' },
  token: 'the.token',
  jti: 'j1',
};

describe('a webtask function', () => {
  it.each([
    ['module.exports = function (cb) { cb(null, { hello: 1 }) }', 'hello.js'],
    ['return function (cb) { cb(null, { hello: 1 }) }', 'hello.js'],
    ['"use latest";\nmodule.exports = cb => cb(null, { hello: 1 })', 'hello.js'],
    ['module.exports = (ctx, cb) => cb(null, { hello: 1 })', 'hello.cjs'],
    ['export default (ctx, cb) => cb(null, { hello: 1 })', 'hello.mjs'],
    ['export default (ctx: object, cb: (e: null, r: object) => void) => cb(null, { hello: 1 })', 'hello.ts'],
    [
      'module.exports = (ctx, req, res) => res.writeHead(200, { "content-type": "application/json" }).end(`{"hello":1}`)',
      'hello.js',
    ],
  ])('answers: %s', async (text, filename) => {
    const peer = await deploy(text, 'webtask', { filename });
    const answer = await peer.call();
    expect([answer.status, answer.header('content-type'), answer.body]).toEqual([
      200,
      'application/json',
      '{"hello":1}',
    ]);
  });

  it('finds query, params and secrets in ctx.data, the later ones first, and no reserved names', async () => {
    const peer = await deploy('module.exports = (ctx, cb) => cb(null, { ...ctx })', 'webtask', {
      webtask,
      secrets: { KEY: 's', shared: 'secret' },
      meta: { m: '1' },
    });
    const answer = json(
      await peer.call({
        url: '/x?a=1&shared=q&webtask_no_cache=1&__proto__=x',
        headers: ['Host', 'h', 'X-A', '1', 'x-a', '2'],
      }),
    );
    expect(answer).toEqual({
      id: 'i1',
      data: { a: '1', shared: 'secret', color: 'red', KEY: 's' },
      headers: { host: 'h', 'x-a': '1, 2' },
      query: { a: '1', shared: 'q' },
      params: { color: 'red', shared: 'param' },
      secrets: { KEY: 's', shared: 'secret' },
      meta: { m: '1' },
      storage: {},
      token: 'the.token',
      create_token_url: 'https://h/api/tokens/issue',
    });
  });

  it('gets its body parsed, and merged only where nothing is there', async () => {
    const peer = await deploy(
      'module.exports = (ctx, cb) => cb(null, { body: ctx.body, raw: ctx.body_raw, data: ctx.data })',
      'webtask',
      {
        secrets: { KEY: 's' },
      },
    );
    const post = (type: string, body: string, url = '/'): Promise<PeerInvocation> =>
      peer.call({ method: 'POST', url, headers: ['Content-Type', type], body });
    expect(json(await post('application/json; charset=utf-8', '{"a":1}'))).toEqual({
      body: { a: 1 },
      raw: '{"a":1}',
      data: { KEY: 's' },
    });
    expect(json(await post('application/x-www-form-urlencoded', 'a=1&b=x+y'))).toMatchObject({
      body: { a: '1', b: 'x y' },
    });
    expect(json(await post('application/json', '{broken'))).toEqual({ raw: '{broken', data: { KEY: 's' } });
    expect(json(await post('text/plain', 'hi'))).toEqual({ raw: 'hi', data: { KEY: 's' } });
    const merged = await post(
      'application/json',
      '{"a":1,"KEY":"stolen","__proto__":{"x":1},"empty":2}',
      '/?webtask_mb=1&empty=',
    );
    expect(json(merged)).toMatchObject({ data: { a: 1, KEY: 's', empty: 2 } });
  });

  it('streams for (ctx, req, res), and has x_wt', async () => {
    const peer = await deploy(
      'module.exports = (ctx, req, res) => { res.setHeader("x-wt", JSON.stringify(req.x_wt)); req.pipe(res) }',
      'webtask',
      { webtask, meta: { m: '1' } },
    );
    const answer = await peer.call({
      method: 'POST',
      body: 'streamed',
      headers: ['Content-Type', 'application/json'],
    });
    expect(answer.body).toBe('streamed');
    expect(JSON.parse(answer.header('x-wt')!)).toMatchObject({
      container: 'acme',
      jtn: 'hello',
      url_format: 1,
      pb: 2,
      meta: { m: '1' },
    });
  });

  it.each(['0', '""', 'false', 'null', 'undefined'])('turns %s into {}', async (value) => {
    const peer = await deploy(`module.exports = (cb) => cb(null, ${value})`, 'webtask');
    expect((await peer.call()).body).toBe('{}');
  });

  it.each([
    [
      'cb(new TypeError("no"))',
      400,
      {
        code: 400,
        error: 'Script returned an error.',
        details: 'TypeError: no',
        name: 'TypeError',
        message: 'no',
      },
    ],
    ['cb("bad")', 400, { code: 400, error: 'Script returned an error.', details: 'bad' }],
    [
      'cb({ a: 1, message: "m" })',
      400,
      { code: 400, error: 'Script returned an error.', details: { a: 1, message: 'm' }, message: 'm' },
    ],
    [
      '(() => { throw new Error("thrown") })()',
      500,
      {
        code: 500,
        error: 'Script generated an unhandled synchronous exception.',
        details: 'Error: thrown',
        name: 'Error',
        message: 'thrown',
      },
    ],
    [
      'Promise.reject(new Error("rejected"))',
      400,
      {
        code: 400,
        error: 'Script returned an error.',
        details: 'Error: rejected',
        name: 'Error',
        message: 'rejected',
      },
    ],
    [
      '(() => { const a = {}; a.a = a; cb(null, a) })()',
      400,
      { error: 'Error when JSON serializing the result of the JavaScript code.' },
    ],
    ['cb(null, 1n)', 400, { error: 'Error when JSON serializing the result of the JavaScript code.' }],
  ])('answers errors of %s as webtask does', async (expression, status, expected) => {
    const peer = await deploy(`module.exports = (cb) => ${expression}`, 'webtask');
    const answer = await peer.call();
    expect(answer.status).toBe(status);
    expect(json(answer)).toMatchObject(expected);
    expect(answer.body).toContain('\n  "error"');
    if (!answer.body.includes('serializing')) expect(peer.logs).toHaveLength(1);
  });

  it.each([
    ['(ctx, cb) => ({ a: 1 })', '{"a":1}'],
    ['async (ctx, cb) => ({ a: 1 })', '{"a":1}'],
    ['async (ctx, cb) => cb(null, { a: 2 })', '{"a":2}'],
    ['(ctx, cb) => setTimeout(() => cb(null, { a: 3 }), 1)', '{"a":3}'],
    ['(ctx, cb) => { cb(null, { a: 4 }); cb(null, { a: 5 }); return { a: 6 } }', '{"a":4}'],
    ['(ctx, cb) => Promise.resolve().then(() => cb(null, { a: 7 }))', '{"a":7}'],
  ])('takes the first of callback, promise and value: %s', async (fn, body) => {
    const peer = await deploy(`module.exports = ${fn}`, 'webtask');
    expect((await peer.call()).body).toBe(body);
  });

  it('has a CORS preflight answered for it', async () => {
    const peer = await deploy('module.exports = (cb) => cb(null, "called")', 'webtask');
    const headers = [
      'Origin',
      'https://a.example',
      'Access-Control-Request-Method',
      'PUT',
      'Access-Control-Request-Headers',
      'x-a',
    ];
    const answer = await peer.call({ method: 'OPTIONS', headers });
    expect([answer.status, answer.body]).toEqual([200, '']);
    expect(answer.header('access-control-allow-origin')).toBe('https://a.example');
    expect(answer.header('access-control-allow-methods')).toBe('PUT');
    expect(answer.header('access-control-allow-headers')).toBe('x-a');
    expect(answer.header('access-control-allow-credentials')).toBe('true');
    expect(answer.header('access-control-max-age')).toBe('60000');
    expect((await peer.call({ method: 'OPTIONS' })).body).toBe('"called"');
  });

  it('is told clearly that there is no storage, and has module.webtask', async () => {
    const peer = await deploy(
      'const { meta } = module.webtask; module.exports = (ctx, cb) => ctx.storage.get((error) => cb(null, { said: error.message, meta }))',
      'webtask',
      { meta: { m: '1' } },
    );
    expect(json(await peer.call())).toEqual({
      said: 'Storage is not available on this platform.',
      meta: { m: '1' },
    });
  });

  it('is refused when it has no parameter that can be filled', async () => {
    const peer = await start();
    const loaded = await peer.load('module.exports = (a, b, c, d) => 1', { form: 'webtask' });
    expect(loaded).toMatchObject({ ok: false, code: 'FORM_UNKNOWN' });
  });

  it('in its form may be an Express app after all', async () => {
    const peer = await start();
    const code = 'const app = (req, res, next) => res.end("app"); app.handle = app; module.exports = app';
    expect(await peer.load(code, { form: 'webtask' })).toEqual({ ok: true, form: 'webtask' });
    expect((await peer.call()).body).toBe('app');
  });
});

describe('a function of ctx', () => {
  it.each([
    ['module.exports = async (ctx) => ({ a: ctx.query.a })', 'hello.js'],
    ['module.exports = async ({ query }) => ({ a: query.a })', 'hello.js'],
    ['export default async (ctx) => ({ a: ctx.query.a })', 'hello.mjs'],
    [
      'type Ctx = { query: Record<string, string> };\nexport default async (ctx: Ctx): Promise<object> => ({ a: ctx.query.a })',
      'hello.ts',
    ],
  ])('answers with what it returns: %s', async (text, filename) => {
    const peer = await deploy(text, 'context', { filename });
    const answer = await peer.call({ url: '/?a=1' });
    expect([answer.body, answer.header('content-type')]).toEqual(['{"a":"1"}', 'application/json']);
  });

  it('may return a Response, parse its body and wait for more', async () => {
    const peer = await deploy(
      `let release;
      module.exports = async (ctx) => {
        if (ctx.body.a === 'go on') release();
        else ctx.waitUntil(new Promise((resolve) => { release = resolve; }));
        return new Response(ctx.body.a, { status: 201, headers: { "x-a": "b" } });
      }`,
      'context',
    );
    const request = (a: string): object => ({
      method: 'POST',
      headers: ['Content-Type', 'application/json'],
      body: JSON.stringify({ a }),
    });
    const answer = peer.open(request('x'));
    await peer.until(() => answer.isEnded, 'the response');
    expect([answer.status, answer.body, answer.header('x-a'), answer.isDone]).toEqual([201, 'x', 'b', false]);
    expect((await peer.call(request('go on'))).body).toBe('go on');
    await answer.over();
    expect(answer.isDone).toBe(true);
  });

  it('fails when it rejects', async () => {
    const peer = await deploy(
      'module.exports = async (ctx) => {\n  throw new Error("no luck");\n}',
      'context',
    );
    const answer = await peer.call();
    expect(answer.failure).toMatchObject({ code: 'FUNCTION_FAILED', reason: 'Error: no luck' });
    expect(answer.failure?.stack).toContain('hello.js:2:9');
  });
});
