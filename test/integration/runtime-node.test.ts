import { afterEach, describe, expect, it } from 'vitest';
import { bundleFixture } from './bundle-fixture.ts';
import { RuntimePeer } from './runtime-peer.ts';

let peer: RuntimePeer;

afterEach(async () => {
  const { violations } = peer;
  await peer.stop();
  expect(violations).toEqual([]);
});

async function listener(body: string): Promise<void> {
  peer = await RuntimePeer.start();
  expect(await peer.load(`module.exports = (req, res) => { ${body} }`)).toEqual({ ok: true, form: 'node' });
}

async function fixture(name: string, moduleKind: 'esm' | 'commonjs' = 'commonjs'): Promise<void> {
  const { code, sourceMap } = await bundleFixture(name);
  peer = await RuntimePeer.start();
  const loaded = await peer.load(code, { moduleKind, filename: 'index.js' }, sourceMap);
  expect(loaded).toMatchObject({ ok: true });
}

describe('a Node listener', () => {
  it('sees a request as from a socket', async () => {
    await listener(
      'res.end(JSON.stringify({ m: req.method, u: req.url, v: req.httpVersion, h: req.headers, raw: req.rawHeaders, ip: req.socket.remoteAddress, s: req.socket.encrypted, d: req.headersDistinct.a }))',
    );
    const answer = await peer.call({
      method: 'DELETE',
      url: '/a?b',
      headers: ['Host', 'h', 'A', '1', 'a', '2', 'Cookie', 'x=1', 'Cookie', 'y=2'],
    });
    expect(JSON.parse(answer.body)).toEqual({
      m: 'DELETE',
      u: '/a?b',
      v: '1.1',
      ip: '192.0.2.1',
      s: true,
      d: ['1', '2'],
      h: { host: 'h', a: '1, 2', cookie: 'x=1; y=2' },
      raw: ['Host', 'h', 'A', '1', 'a', '2', 'Cookie', 'x=1', 'Cookie', 'y=2'],
    });
    expect(answer.header('content-length')).toBe(String(answer.body.length));
  });

  it.each([
    [
      'res.setHeader("X-A", ["1", "2"]); res.setHeader("B", 3); res.end("x")',
      ['X-A', '1', 'X-A', '2', 'B', '3', 'Content-Length', '1'],
    ],
    ['res.end()', ['Content-Length', '0']],
    ['res.writeHead(200, { a: "1", b: ["2", "3"] }); res.end()', ['a', '1', 'b', '2', 'b', '3']],
    ['res.writeHead(200, "Fine", ["a", "1", "a", "2"]); res.end("x")', ['a', '1', 'a', '2']],
    ['res.setHeader("a", "0"); res.writeHead(200, { a: "1" }); res.end("x")', ['a', '1']],
    [
      'res.setHeader("connection", "close"); res.setHeader("transfer-encoding", "chunked"); res.setHeader("keep-alive", "timeout=5"); res.end("x")',
      ['Content-Length', '1'],
    ],
    ['res.setHeader("content-length", "1"); res.write("x"); res.end()', ['content-length', '1']],
    ['res.write("x"); res.end()', []],
    ['res.setHeader("trailer", "t"); res.write("x"); res.addTrailers({ t: "1" }); res.end()', []],
  ])('sends its headers and no framing: %s', async (code, headers) => {
    await listener(code);
    const answer = await peer.call();
    expect(answer.headers).toEqual(headers);
    expect(answer.body).toBe(code.includes('"x"') ? 'x' : '');
  });

  it.each([
    ['HEAD', 'res.setHeader("content-length", 4); res.end("body")', 200],
    ['GET', 'res.writeHead(204).end("ignored")', 204],
    ['GET', 'res.statusCode = 304; res.write("ignored"); res.end()', 304],
  ])('has no body for %s with %s', async (method, code, status) => {
    await listener(code);
    const answer = await peer.call({ method });
    expect([answer.status, answer.body]).toEqual([status, '']);
  });

  it('may send interim responses, which end in the sandbox', async () => {
    await listener(
      'res.writeContinue(); res.writeProcessing(); res.writeEarlyHints({ link: "</a.css>; rel=preload" }); res.end("x")',
    );
    const answer = await peer.call();
    expect([answer.status, answer.body]).toEqual([200, 'x']);
  });

  it('pipes both ways, and hears finish and close', async () => {
    await listener(
      'req.pipe(res); res.on("finish", () => console.log("finish")); res.on("close", () => console.log("close")); req.on("end", () => console.log("end")); req.on("close", () => console.log("req close"))',
    );
    const answer = await peer.call({ method: 'POST', body: 'piped' });
    expect(answer.body).toBe('piped');
    await peer.until(() => peer.logs.length === 4, 'four events');
    expect(peer.logs.map(({ text }) => text).sort()).toEqual(['close', 'end', 'finish', 'req close']);
    expect(peer.logs.findIndex(({ text }) => text === 'finish')).toBeLessThan(
      peer.logs.findIndex(({ text }) => text === 'close'),
    );
  });

  it('sends the head before the body when it asks for it', async () => {
    await listener(
      'res.flushHeaders(); setTimeout(() => { res.write("a"); setTimeout(() => res.end("b"), 20) }, 20)',
    );
    const answer = await peer.open().begun();
    expect([answer.status, answer.body]).toEqual([200, '']);
    expect((await answer.over()).body).toBe('ab');
  });

  it('is told when the caller goes away', async () => {
    await listener(
      `res.write("a");
      req.on("aborted", () => console.log("aborted", req.aborted)); req.on("close", () => console.log("req close", req.destroyed));
      res.on("close", () => console.log("res close", res.writableFinished, res.destroyed)); req.socket.on("close", () => console.log("socket close"));
      req.on("error", (error) => console.log("error", error.code)); req.signal?.addEventListener("abort", () => console.log("signal"))`,
    );
    const answer = await peer.open({ method: 'POST', isOpen: true, body: 'x' }).begun();
    answer.cancel();
    await answer.over();
    expect(answer.failure).toBeNull();
    await peer.until(() => peer.logs.length === 6, 'six events');
    expect(peer.logs.map(({ text }) => text).sort()).toEqual([
      'aborted true',
      'error ECONNRESET',
      'req close true',
      'res close false true',
      'signal',
      'socket close',
    ]);
    expect((await peer.open().begun()).status).toBe(200);
  });

  it('may break off its own response', async () => {
    await listener('res.write("a"); setTimeout(() => res.destroy(new Error("I give up")), 20)');
    const answer = await peer.call();
    expect([answer.status, answer.isEnded]).toEqual([200, false]);
    expect(answer.failure?.reason).toBe('Error: I give up');
  });

  it.each([
    ['throw new Error("thrown")', 'Error: thrown', 'FUNCTION_FAILED'],
    ['return Promise.reject(new Error("rejected"))', 'Error: rejected', 'FUNCTION_FAILED'],
    ['req.socket.destroy()', 'destroyed the connection', 'FUNCTION_FAILED'],
    ['res.setHeader("a", "x".repeat(20000)); res.end()', 'responseHeaderBytes (16384)', 'RESPONSE_INVALID'],
    ['res.setHeader("a", "b\\r\\nc"); res.end()', 'Invalid character', 'FUNCTION_FAILED'],
    ['res.writeHead(20)', 'Invalid status code', 'FUNCTION_FAILED'],
  ])('fails: %s', async (code, reason, failure) => {
    await listener(code);
    const answer = await peer.call();
    expect(answer.failure?.code).toBe(failure);
    expect(answer.failure?.reason).toContain(reason);
    expect((await peer.call()).failure?.code).toBe(failure);
  });
});

describe('an http.Server', () => {
  it('is called as an export', async () => {
    peer = await RuntimePeer.start();
    const code = 'module.exports = require("http").createServer((req, res) => res.end("server"))';
    expect(await peer.load(code)).toEqual({ ok: true, form: 'node' });
    expect((await peer.call()).body).toBe('server');
  });

  it.each([
    'const server = http.createServer((req, res) => res.end("listened")); server.listen(3000, () => console.log(server.listening, server.address().port))',
    'setTimeout(() => { const server = http.createServer((req, res) => res.end("listened")); server.listen({ port: 3000 }).on("listening", () => console.log(server.listening, server.address().port)) }, 30)',
    'const server = http.createServer(); server.on("request", (req, res) => res.end("listened")).listen(3000, "0.0.0.0", () => { console.log(server.listening, server.address().port) })',
  ])('is the app when it listens and nothing is exported: %s', async (code) => {
    peer = await RuntimePeer.start();
    expect(await peer.load(`const http = require("http"); ${code}`)).toEqual({ ok: true, form: 'node' });
    expect((await peer.call()).body).toBe('listened');
    expect(peer.logs.map(({ text }) => text)).toEqual(['true 3000']);
  });
});

describe('an app of', () => {
  it('Express answers, parses, and reports errors', async () => {
    await fixture('express-app.js');
    expect(peer.loaded).toEqual({ ok: true, form: 'node' });
    const hello = await peer.call({ url: '/hello/you?a=b' });
    expect(JSON.parse(hello.body)).toEqual({ hello: 'you', query: { a: 'b' }, ip: '192.0.2.1' });
    expect(hello.header('etag')).toBeDefined();
    const body = '{"a":[1,2]}';
    const echo = await peer.call({
      method: 'POST',
      url: '/echo',
      body,
      headers: ['Content-Type', 'application/json', 'Content-Length', String(body.length)],
    });
    expect([echo.status, echo.header('x-kind'), echo.body]).toEqual([201, 'echo', body]);
    const boom = await peer.call({ url: '/boom' });
    expect(boom.status).toBe(500);
    expect(peer.logs.map(({ text }) => text).join('\n')).toContain('express-app.js:8:9');
    expect((await peer.call({ url: '/none' })).status).toBe(404);
  });

  it('Express that listens, in TypeScript', async () => {
    await fixture('express-listen.ts', 'esm');
    expect((await peer.call()).body).toBe('listened');
    expect(peer.logs.map(({ text }) => text)).toEqual(['listening']);
  });

  it('Koa', async () => {
    await fixture('koa-app.js');
    const answer = await peer.call({ url: '/x' });
    expect(JSON.parse(answer.body)).toEqual({ path: '/x', secure: true, ip: '192.0.2.1' });
    expect(answer.header('x-framework')).toBe('koa');
  });

  it('Fastify', async () => {
    await fixture('fastify-app.mjs', 'esm');
    expect((await peer.call({ url: '/hello' })).body).toBe('{"hello":"fastify"}');
    const echo = await peer.call({
      method: 'POST',
      url: '/echo',
      body: '{"a":1}',
      headers: ['Content-Type', 'application/json', 'Content-Length', '7'],
    });
    expect([echo.status, echo.body]).toEqual([202, '{"a":1}']);
  });

  it('Hono, as a web-standard app', async () => {
    await fixture('hono-fetch.mjs', 'esm');
    expect(peer.loaded).toMatchObject({ form: 'fetch' });
    expect((await peer.call({ url: '/hello' })).body).toBe('{"hello":"hono"}');
  });

  it('Hono, in its Node form', async () => {
    await fixture('hono-node.mjs', 'esm');
    expect(peer.loaded).toMatchObject({ form: 'node' });
    expect((await peer.call({ url: '/hello' })).body).toBe('hono on node: acme.example');
    expect(
      (await peer.call({ method: 'POST', url: '/echo', body: 'echoed', headers: ['Host', 'h'] })).body,
    ).toBe('echoed');
  });
});
