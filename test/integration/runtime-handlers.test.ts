import { describe, expect, it } from 'vitest';
import { deploy, json } from './runtime-deploy.ts';

describe('a Lambda function', () => {
  it.each([
    ['exports.handler = async (event, context) => ({ statusCode: 200, body: event.rawPath })', 'hello.js'],
    [
      'module.exports.handler = (event, context, callback) => callback(null, { statusCode: 200, body: event.rawPath })',
      'hello.js',
    ],
    ['export const handler = async (event) => ({ statusCode: 200, body: event.rawPath })', 'hello.mjs'],
    [
      'export async function handler(event: { rawPath: string }): Promise<object> { return { statusCode: 200, body: event.rawPath } }',
      'hello.ts',
    ],
  ])('answers: %s', async (text, filename) => {
    const peer = await deploy(text, 'lambda', { filename });
    const answer = await peer.call({ url: '/a/b?c=d' });
    expect([answer.status, answer.body]).toEqual([200, '/a/b']);
  });

  it('gets an event of payload format 2.0', async () => {
    const peer = await deploy(
      'exports.handler = async (event, context) => ({ event, left: context.getRemainingTimeInMillis(), id: context.awsRequestId, name: context.functionName })',
      'lambda',
    );
    const answer = json(
      await peer.call({
        method: 'POST',
        url: '/a?x=1&x=2&y=z',
        headers: [
          'Host',
          'h.example',
          'Cookie',
          'a=1; b=2',
          'User-Agent',
          'ua',
          'Content-Type',
          'application/json',
        ],
        body: '{"k":"ü"}',
      }),
    ) as { event: Record<string, unknown>; left: number };
    expect(answer).toMatchObject({
      id: 'i1',
      name: 'hello',
      event: {
        version: '2.0',
        rawPath: '/a',
        rawQueryString: 'x=1&x=2&y=z',
        cookies: ['a=1', 'b=2'],
        queryStringParameters: { x: '1,2', y: 'z' },
        headers: { host: 'h.example', 'content-type': 'application/json' },
        requestContext: {
          http: { method: 'POST', path: '/a', sourceIp: '192.0.2.1', userAgent: 'ua' },
          domainName: 'h.example',
        },
        body: '{"k":"ü"}',
        isBase64Encoded: false,
      },
    });
    expect(answer.left).toBeGreaterThan(25_000);
    const binary = json(
      await peer.call({ method: 'POST', headers: ['Content-Type', 'image/png'], body: Buffer.of(1, 2, 255) }),
    );
    expect(binary).toMatchObject({ event: { body: 'AQL/', isBase64Encoded: true } });
  });

  it('answers with status, headers, cookies and binary bodies', async () => {
    const peer = await deploy(
      `exports.handler = async () => ({
        statusCode: 418, headers: { "X-One": 1, connection: "close" }, multiValueHeaders: { "x-two": ["a", "b"] },
        cookies: ["c=1", "d=2"], body: "AQL/", isBase64Encoded: true,
      })`,
      'lambda',
    );
    const answer = await peer.call();
    expect(answer.status).toBe(418);
    expect(answer.headers).toEqual([
      'x-two',
      'a',
      'x-two',
      'b',
      'X-One',
      '1',
      'set-cookie',
      'c=1',
      'set-cookie',
      'd=2',
      'content-type',
      'application/json',
    ]);
    expect(Buffer.concat(answer.chunks)).toEqual(Buffer.of(1, 2, 255));
  });

  it.each([
    ['({ a: 1 })', '{"a":1}'],
    ['"text"', 'text'],
    ['undefined', 'null'],
  ])('that returns %s answers 200', async (value, body) => {
    const peer = await deploy(`exports.handler = async () => ${value}`, 'lambda');
    const answer = await peer.call();
    expect([answer.status, answer.body]).toEqual([200, body]);
  });

  it.each([
    ['{ statusCode: 99 }', 'its status is 99'],
    ['{ statusCode: "x" }', 'its status is NaN'],
    ['{ statusCode: 200, headers: { "a b": "c" } }', 'Header name'],
    ['{ statusCode: 200, headers: { a: "b\\r\\nc: d" } }', 'Invalid character'],
    ['{ statusCode: 200, headers: { a: "x".repeat(20000) } }', 'responseHeaderBytes (16384)'],
  ])('with an answer that is no HTTP fails: %s', async (value, reason) => {
    const peer = await deploy(`exports.handler = async () => (${value})`, 'lambda');
    const answer = await peer.call();
    expect(answer.failure?.code).toBe('RESPONSE_INVALID');
    expect(answer.failure?.reason).toContain(reason);
  });

  it('fails when it fails', async () => {
    const peer = await deploy(
      'exports.handler = (event, context, cb) => event.rawPath === "/cb" ? cb(new Error("by callback")) : Promise.reject("text")',
      'lambda',
    );
    expect((await peer.call({ url: '/cb' })).failure).toMatchObject({
      code: 'FUNCTION_FAILED',
      reason: 'Error: by callback',
    });
    expect((await peer.call()).failure).toMatchObject({ code: 'FUNCTION_FAILED', reason: 'text' });
  });

  it('has its secrets in the environment, and nothing of the host', async () => {
    const peer = await deploy(
      'const atStart = process.env.KEY; exports.handler = async () => ({ atStart, ...process.env })',
      'lambda',
      {
        env: { MODE: 'test' },
        secrets: { KEY: 's' },
      },
    );
    const environment = json(await peer.call());
    expect(environment).toEqual({
      atStart: 's',
      KEY: 's',
      MODE: 'test',
      NODE_ENV: 'production',
      TZ: 'UTC',
      PATH: '/usr/bin:/bin',
      BERTH_TENANT: 'acme',
      BERTH_FUNCTION: 'hello',
      BERTH_REVISION: 'r0123456789abcdef01234567',
    });
  });
});

describe('a web-standard function', () => {
  it.each([
    [
      'export default { fetch(request, env, ctx) { return new Response("hi " + new URL(request.url).pathname) } }',
      'hello.mjs',
    ],
    ['export default (request) => new Response("hi " + new URL(request.url).pathname)', 'hello.js'],
    [
      'const app = { async fetch(request) { return new Response("hi " + new URL(request.url).pathname) } }; export default app',
      'hello.js',
    ],
    [
      'module.exports = { fetch: (request) => new Response("hi " + new URL(request.url).pathname) }',
      'hello.js',
    ],
    ['module.exports = (request) => new Response("hi " + new URL(request.url).pathname)', 'hello.js'],
    [
      'export default { fetch: (request: Request): Response => new Response("hi " + new URL(request.url).pathname) }',
      'hello.ts',
    ],
    [
      'enum Kind { A = "hi " }\nexport default { fetch: (request: Request) => new Response(Kind.A + new URL(request.url).pathname) }',
      'hello.ts',
    ],
    [
      'const word = await Promise.resolve("hi ");\nexport default (request) => new Response(word + new URL(request.url).pathname)',
      'hello.mjs',
    ],
  ])('answers: %s', async (text, filename) => {
    const peer = await deploy(text, 'fetch', { filename });
    const answer = await peer.call({ url: '/a/b?c' });
    expect([answer.status, answer.body, answer.header('content-type')]).toEqual([
      200,
      'hi /a/b',
      'text/plain;charset=UTF-8',
    ]);
  });

  it('sees method, address, headers, body and env', async () => {
    const peer = await deploy(
      `export default { name: "self", async fetch(request, env, ctx) {
        return Response.json({ url: request.url, method: request.method, a: request.headers.get("a"), text: await request.text(),
          is: request instanceof Request, env, self: this.name, kept: request.keepalive });
      } }`,
      'fetch',
      { filename: 'a.mjs', env: { E: '1' }, secrets: { S: '2' } },
    );
    const answer = await peer.call({
      method: 'PUT',
      url: '/x?y',
      headers: ['Host', 'h.example:81', 'A', '1', 'a', '2'],
      body: 'text',
    });
    expect(json(answer)).toMatchObject({
      url: 'https://h.example:81/x?y',
      method: 'PUT',
      a: '1, 2',
      text: 'text',
      is: true,
      env: { E: '1', S: '2' },
      self: 'self',
    });
    expect((json(await peer.call({ headers: ['Host', 'a/b@c'] })) as { url: string }).url).toBe(
      'https://localhost/',
    );
    expect((await peer.call({ method: 'TRACE' })).status).toBe(405);
  });

  it.each([
    ['undefined', 'it returned undefined, not a Response'],
    ['"text"', 'it returned a value of type string, not a Response'],
    ['Response.error()', 'its status is 0'],
    ['new Response("", { headers: { a: "x".repeat(20000) } })', 'responseHeaderBytes (16384)'],
  ])('that returns %s fails', async (value, reason) => {
    const peer = await deploy(`export default () => ${value}`, 'fetch');
    const answer = await peer.call();
    expect(answer.failure).toMatchObject({ code: 'RESPONSE_INVALID' });
    expect(answer.failure?.reason).toContain(reason);
  });

  it('may do more after its response', async () => {
    const peer = await deploy(
      `let goOn;
      export default { fetch(request, env, ctx) {
        if (request.url.endsWith("/go-on")) { goOn(); return new Response("yes"); }
        ctx.passThroughOnException();
        ctx.waitUntil((async () => { await new Promise((resolve) => { goOn = resolve; }); console.log("later"); throw new Error("too late") })());
        return new Response("now");
      } }`,
      'fetch',
    );
    const answer = peer.open();
    await peer.until(() => answer.isEnded, 'the response');
    expect([answer.isDone, peer.logs]).toEqual([false, []]);
    expect((await peer.call({ url: '/go-on' })).body).toBe('yes');
    await answer.over();
    expect(peer.logs.map(({ text }) => text.split('\n')[0])).toEqual(['later', 'Error: too late']);
    expect(answer.failure).toBeNull();
  });

  it.each([
    ['HEAD', 'new Response("body", { headers: { "content-length": "4" } })', 200],
    ['GET', 'new Response(null, { status: 204 })', 204],
    ['GET', 'new Response(null, { status: 304 })', 304],
    ['GET', 'Response.redirect("https://a.example/", 302)', 302],
  ])('answers %s without a body: %s', async (method, value, status) => {
    const peer = await deploy(`export default () => ${value}`, 'fetch');
    const answer = await peer.call({ method });
    expect([answer.status, answer.body]).toEqual([status, '']);
  });

  it('breaks off a response whose body fails', async () => {
    const peer = await deploy(
      'export default () => new Response(new ReadableStream({ async pull(c) { c.enqueue(new TextEncoder().encode("part")); await new Promise((r) => setTimeout(r, 20)); c.error(new Error("cut")) } }))',
      'fetch',
    );
    const answer = await peer.call();
    expect([answer.status, answer.isEnded]).toEqual([200, false]);
    expect(answer.failure).toMatchObject({ code: 'FUNCTION_FAILED', reason: 'Error: cut' });
  });
});
