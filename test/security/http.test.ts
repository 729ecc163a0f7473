/** Hostile code, cases 27, 28, 30, 32 and 33: requests and responses that two readers could read differently. */
import { describe, expect, it } from 'vitest';
import { Arena } from './arena.ts';
import { answersWith, channelAttack } from './channel-attack.ts';
import { exchangeRaw, type RawExchange, requestRaw } from './raw-http.ts';

const arena = Arena.prepare({}, { BERTH_DOMAIN: 'berth.test' });

const HOST = 'Host: a.test\r\n';
const VICTIM = `GET /run/victim/hello HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`;
const get = (path: string, headers = HOST): string => `GET ${path} HTTP/1.1\r\n${headers}`;

describe('27: framing that two parsers could read differently', () => {
  const post = (headers: string, body: string): string =>
    `POST /run/attacker/counter HTTP/1.1\r\n${HOST}${headers}\r\n${body}`;
  const chunked = (body: string): string => post('Transfer-Encoding: chunked\r\n', body);

  it.each([
    ['two lengths', post('Content-Length: 5\r\nContent-Length: 6\r\n', 'abcdef')],
    ['one length twice', post('Content-Length: 5\r\nContent-Length: 5\r\n', 'abcde')],
    ['a length and chunks', post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n')],
    ['chunks and a length', post('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', '0\r\n\r\n')],
    ['chunks that are not last', post('Transfer-Encoding: chunked, identity\r\n', '0\r\n\r\n')],
    ['an unknown encoding', post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n')],
    ['a tab before chunked', post('Transfer-Encoding:\x0bchunked\r\n', '0\r\n\r\n')],
    ['a signed length', post('Content-Length: +5\r\n', 'abcde')],
    ['a space before the colon', post('Content-Length : 5\r\n', 'abcde')],
    ['a folded header', post('X: a\r\n Content-Length: 5\r\nContent-Length: 0\r\n', '')],
    ['bare LFs', 'GET /run/attacker/counter HTTP/1.1\nHost: a.test\n\n'],
    ['a bare LF between headers', post('X: a\nContent-Length: 0\r\n', '')],
    ['a bare CR in a value', post('X: a\rContent-Length: 5\r\n', '')],
    ['NUL in a value', post('X: a\0b\r\n', '')],
    ['garbage for a chunk size', chunked('zz\r\nabc\r\n0\r\n\r\n')],
    ['a chunk size of 17 digits', chunked('fffffffffffffffff\r\nabc')],
    ['a chunk longer than its size', chunked('3\r\nabcdef\r\n0\r\n\r\n')],
    ['a bare LF after a chunk size', chunked('3\nabc\r\n0\r\n\r\n')],
    ['a bare LF after a chunk', chunked('3\r\nabc\n0\r\n\r\n')],
    ['HTTP/2 with prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ])('%s: 400, the connection closes, the smuggled request is not heard', async (_name, bytes) => {
    await arena.deploy(
      'counter',
      'let calls = 0; module.exports = (req, res) => { calls++; req.resume().on("end", () => res.end(String(calls))).on("error", () => {}); };',
    );
    const { responses, rest, isClosed } = await exchangeRaw(arena.platform.port, bytes + VICTIM);
    expect(responses.map(({ status }) => status)).toEqual([400]);
    expect(responses[0]!.body).toContain('"code":"BAD_REQUEST"');
    expect(rest).toBe('');
    expect(isClosed).toBe(true);
  });
});

describe('28: a function that answers with what is no HTTP', () => {
  /** Calls the attack, and the victim behind it on the same connection. */
  async function together(source: string, method = 'GET'): Promise<RawExchange> {
    await arena.deploy('liar', source);
    const request = `${method} /run/attacker/liar HTTP/1.1\r\n${HOST}\r\n`;
    return exchangeRaw(arena.platform.port, request + VICTIM, 20_000);
  }

  it.each<[string, string]>([
    ['CR LF in a value', answersWith(200, ['x', 'a\r\nSet-Cookie: a=b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n'])],
    ['a bare LF in a value', answersWith(200, ['x', 'a\nb'])],
    ['a bare CR in a value', answersWith(200, ['x', 'a\rb'])],
    ['NUL in a value', answersWith(200, ['x', 'a\0b'])],
    ['CR LF in a name', answersWith(200, ['x: a\r\ny', 'b'])],
    ['a colon in a name', answersWith(200, ['x: y', 'b'])],
    ['an empty name', answersWith(200, ['', 'b'])],
    ['a space in a name', answersWith(200, ['content-length ', '3'], 'abc')],
    ['status 0', answersWith(0, [])],
    ['status 99', answersWith(99, [])],
    ['status 100', answersWith(100, [])],
    ['status 101 without an upgrade', answersWith(101, ['upgrade', 'websocket', 'connection', 'upgrade'])],
    ['status 199', answersWith(199, [])],
    ['status 600', answersWith(600, [])],
    ['status 65535', answersWith(65_535, [])],
    [
      '10,000 headers',
      channelAttack('say(frame(Response, Both, 1, head(200, Array.from({ length: 20_000 }, () => "x"))))'),
    ],
    [
      'a header of 100 kB',
      channelAttack('say(frame(Response, Both, 1, head(200, ["x", "x".repeat(100_000)])))'),
    ],
    ['two lengths', answersWith(200, ['Content-Length', '3', 'content-length', '3'], 'abc')],
    ['a list of lengths', answersWith(200, ['Content-Length', '3, 3'], 'abc')],
    ['a length in hexadecimal', answersWith(200, ['Content-Length', '0x3'], 'abc')],
    ['a length that is too small', answersWith(200, ['Content-Length', '3'], `abcHTTP/1.1 200 OK\r\n\r\n`)],
    ['a length that is too large', answersWith(200, ['Content-Length', '300'], 'abc')],
  ])('%s: 502, and the next response on the connection is the victim’s own', async (_name, source) => {
    const { responses, rest } = await together(source);
    expect(rest).toBe('');
    expect(responses[0]).toMatchObject({ status: 502 });
    expect(JSON.parse(responses[0]!.body)).toMatchObject({ code: 'RESPONSE_INVALID' });
    expect(responses.slice(1).map(({ body }) => body)).toEqual(['{"served":true}']);
    await arena.logLine('liar', /not valid HTTP/);
  });

  it('headers of the connection and of the platform are cleaned away', async () => {
    const headers = {
      'Transfer-Encoding': 'chunked',
      Connection: 'keep-alive, x-hop',
      'X-Hop': 'a',
      'Keep-Alive': 'timeout=9999',
      Upgrade: 'h2c',
      Trailer: 'x-t',
      'Proxy-Authenticate': 'Basic',
      TE: 'trailers',
      'X-Berth-Invocation': 'forged',
      'X-Good': 'stays',
    };
    const { responses } = await together(answersWith(200, Object.entries(headers).flat(), 'ok'));
    const [first] = responses;
    expect(first).toMatchObject({ status: 200, body: 'ok' });
    for (const name of ['transfer-encoding', 'x-hop', 'upgrade', 'trailer', 'proxy-authenticate', 'te'])
      expect(first!.headers).not.toHaveProperty(name);
    expect(first!.headers['x-good']).toBe('stays');
    expect(first!.headers['x-berth-invocation']).not.toContain('forged');
    expect(responses[1]!.body).toBe('{"served":true}');
  });

  it.each([
    ['204', answersWith(204, ['content-length', '9'], 'HTTP/1.1 '), 'GET'],
    ['304', answersWith(304, [], 'HTTP/1.1 200 OK\r\n\r\n'), 'GET'],
    ['an answer to HEAD', answersWith(200, [], 'HTTP/1.1 200 OK\r\n\r\n'), 'HEAD'],
  ])('a body with %s goes nowhere', async (_name, source, method) => {
    const { text } = await together(source, method);
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(2);
    expect(text).toMatch(/\r\n\r\nHTTP\/1\.1 200 OK\r\n[^]+\r\n\r\n\{"served":true\}$/);
  });

  it.each([
    ['more', 'say(frame(Data, Both, 1, Buffer.from("x".repeat(50) + "HTTP/1.1 200 OK\\r\\n\\r\\n")))'],
    ['less', 'say(frame(Data, Both, 1, Buffer.from("x")))'],
  ])(
    '%s bytes than announced, after the head has left: the connection is cut, not filled up',
    async (_name, deed) => {
      const { responses, rest, isClosed } = await together(
        channelAttack(
          `say(frame(Response, 0, 1, head(200, ["Content-Length", "10"], "abc"))); setTimeout(() => { ${deed} }, 300)`,
        ),
      );
      expect(responses).toEqual([]);
      expect(rest).toMatch(/\r\n\r\nabc$/);
      expect(isClosed).toBe(true);
    },
  );

  it('through Node’s own response, with its checks taken out', async () => {
    await arena.deploy(
      'liar',
      `const http = require('http');
       http.validateHeaderValue = http.validateHeaderName = () => {};
       module.exports = (req, res) => { res.setHeader = undefined; res._header = null; res.writeHead(200, 'OK\\r\\nX-Split: yes', { 'x-a': 'b' }); res.end('ok'); };`,
    );
    const { responses, rest } = await exchangeRaw(
      arena.platform.port,
      `${get('/run/attacker/liar')}\r\n${VICTIM}`,
      20_000,
    );
    expect(rest).toBe('');
    expect(responses.map(({ headers }) => headers['x-split'])).toEqual([undefined, undefined]);
    expect(responses[1]!.body).toBe('{"served":true}');
  });
});

describe('30: addresses that two parsers could read differently', () => {
  it.each([
    '/run/attacker/%2e%2e/victim/private',
    '/run/attacker/hello/../../victim/private',
    '/run/attacker/hello%2f..%2fprivate',
    '//run/victim/private',
    '/run//victim/private',
    '/run/victim/private%00',
    '/run/victim/private\0',
    '/run/victim\\private',
    '/run/./victim/private',
    'http://a.test/run/victim/private',
    'http://victim.berth.test/private',
    '*',
  ])('%j reaches nobody', async (target) => {
    const { status, body } = await requestRaw(arena.platform.port, get(target));
    expect(status).toBe(400);
    expect(JSON.parse(body)).toMatchObject({ code: 'BAD_REQUEST' });
  });

  it('a function is asked for its token under every spelling, at every address', async () => {
    await arena.platform.deploy('victim', 'private', 'module.exports = (cb) => cb(null, "private")', {
      access: 'token',
    });
    const spellings: readonly [string, string][] = [
      ['/run/victim/private', 'a.test'],
      ['/run/victim/%70rivate', 'a.test'],
      ['/run/%76ictim/private/', 'a.test'],
      ['/run/victim/private//x', 'a.test'],
      ['/run/victim/private?/../hello', 'a.test'],
      ['/run/victim/private;hello', 'a.test'],
      ['/RUN/victim/private', 'a.test'],
      ['/private', 'victim.berth.test'],
      ['/%70rivate', 'VICTIM.berth.test:80'],
      ['/api/run/victim/private', 'a.test'],
      ['/api/run/victim/%70rivate', 'a.test'],
    ];
    for (const [path, host] of spellings) {
      const { status, body } = await requestRaw(arena.platform.port, get(path, `Host: ${host}\r\n`));
      expect([400, 401, 403, 404], `${path} at ${host}`).toContain(status);
      expect(body).not.toBe('"private"');
    }
    await arena.platform.must('DELETE', '/v1/tenants/victim/functions/private');
  });

  it('a foreign or malformed host names no tenant; two hosts are refused', async () => {
    const at = (host: string, path: string) =>
      requestRaw(arena.platform.port, get(path, `Host: ${host}\r\n`));
    expect((await at('victim.berth.test', '/hello')).body).toBe('{"served":true}');
    expect((await at('attacker.berth.test', '/run/victim/hello')).status).toBe(404);
    expect((await at('evil.test', '/hello')).status).toBe(404);
    expect((await at('victim.berth.test.evil.test', '/hello')).status).toBe(404);
    for (const host of ['victim.berth.test@evil', 'victim.berth.test/..', 'vic\ttim.berth.test', 'a b', ''])
      expect((await at(host, '/hello')).status, host).toBe(400);
    expect(
      (await requestRaw(arena.platform.port, get('/', `${HOST}Host: victim.berth.test\r\n`))).status,
    ).toBe(400);
  });
});

describe('33: what callers say in the platform’s name', () => {
  it('does not reach the function', async () => {
    await arena.deploy(
      'mirror',
      'module.exports = (req, res) => res.end(JSON.stringify({ headers: req.rawHeaders, ip: req.socket.remoteAddress }))',
    );
    const forged = [
      'x-wt-params: e30=',
      'X-WT-PARAMS: e30=',
      'x-berth-hops: 0',
      'x-berth-invocation: mine',
      'X-Berth-Tenant: victim',
      'x-forwarded-for: 6.6.6.6',
      'x-forwarded-host: victim.berth.test',
      'x-real-ip: 6.6.6.6',
      'forwarded: for=6.6.6.6',
      'true-client-ip: 6.6.6.6',
      'cf-connecting-ip: 6.6.6.6',
      'proxy-authorization: Basic AAAA',
      'connection: x-forwarded-for, host',
    ];
    const { body } = await requestRaw(
      arena.platform.port,
      `${get('/run/attacker/mirror')}${forged.join('\r\n')}\r\n`,
    );
    const { headers, ip } = JSON.parse(body) as { headers: string[]; ip: string };
    const seen = headers.join('\n');
    for (const lie of ['6.6.6.6', 'e30=', 'mine', 'victim', 'AAAA']) expect(seen).not.toContain(lie);
    expect(headers.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())).not.toContain(
      'x-berth-hops',
    );
    expect(ip).toBe('127.0.0.1');
  });

  it('does not make webtask parameters out of nothing', async () => {
    await arena.deploy(
      'params',
      'module.exports = (ctx, cb) => cb(null, { params: ctx.params ?? null, secrets: Object.keys(ctx.secrets) })',
    );
    const params = Buffer.from(JSON.stringify({ container: 'victim', secrets: { A: 'b' } })).toString(
      'base64',
    );
    const { body } = await requestRaw(
      arena.platform.port,
      `${get('/run/attacker/params')}x-wt-params: ${params}\r\n`,
    );
    expect(body).not.toContain('victim');
    expect(JSON.parse(body)).toMatchObject({ secrets: [] });
  });
});
