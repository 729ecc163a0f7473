/** The webtask API on the real platform, where the real clients do not go: rights, shapes of errors, streams. */
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { TestPlatform } from '../support/platform.ts';

const ONE = 'module.exports = (cb) => cb(null, 1);';
let platform: TestPlatform;

beforeAll(async () => {
  platform = await TestPlatform.start();
});
afterAll(() => platform?.stop());

function send(
  method: string,
  path: string,
  token: string | null = platform.token,
  body?: string,
): Promise<Response> {
  return fetch(platform.url + path, {
    method,
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { body }),
    signal: AbortSignal.timeout(30_000),
  });
}

async function issue(claims: Record<string, unknown>, token = platform.token): Promise<string> {
  const response = await send('POST', '/api/tokens/issue', token, JSON.stringify({ ten: 'acme', ...claims }));
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return text;
}

async function errorOf(promise: Promise<Response>): Promise<Record<string, unknown> & { status: number }> {
  const response = await promise;
  return { ...((await response.json()) as Record<string, unknown>), status: response.status };
}

describe('tokens', () => {
  it('have a header without a type, and claims that clients read', async () => {
    const token = await issue({ jtn: 'hello', code: ONE });
    const [header, claims] = token.split('.').map((part) => Buffer.from(part, 'base64url').toString());
    expect(Object.keys(JSON.parse(header!) as object).sort()).toEqual(['alg', 'kid']);
    expect(JSON.parse(claims!)).toMatchObject({
      ten: 'acme',
      jtn: 'hello',
      url: 'webtask://localhost/api/data/code/acme%2Fhello',
      dd: 0,
      pb: 2,
    });
  });

  it('open their own webtask only, on both addresses of the platform', async () => {
    const unnamed = await issue({ code: "module.exports = (cb) => cb(null, 'unnamed');" });
    await issue({ jtn: 'closed', code: ONE });
    await platform.must('PATCH', '/v1/tenants/acme/functions/closed', { access: 'token' });
    expect((await send('GET', '/api/run/acme', unnamed)).status).toBe(200);
    for (const path of ['/api/run/acme/closed', '/run/acme/closed'])
      expect((await send('GET', path, unnamed)).status, path).toBe(403);
    expect((await send('GET', '/v1/tenants/acme/functions', unnamed)).status).toBe(403);
    expect((await send('GET', '/api/webtask/acme', unnamed)).status).toBe(403);
    const { url } = JSON.parse(Buffer.from(unnamed.split('.')[1]!, 'base64url').toString()) as {
      url: string;
    };
    const name = decodeURIComponent(url).split('/').at(-1)!;
    expect((await send('GET', `/run/acme/${name}`, null)).status).toBe(401);
  });

  it('lose their rights with the token that they come from', async () => {
    const parent = await issue({ dd: 1 });
    const child = await issue({ jtn: 'closed', code: ONE }, parent);
    expect((await send('GET', '/api/run/acme/closed', child)).status).toBe(200);
    const { jti } = JSON.parse(Buffer.from(parent.split('.')[1]!, 'base64url').toString()) as { jti: string };
    await platform.must('POST', '/v1/tenants/acme/tokens/revoke', { jti });
    expect((await send('GET', '/api/webtask/acme', parent)).status).toBe(401);
    expect((await send('GET', '/api/run/acme/closed', child)).status).toBe(401);
    await platform.must('PATCH', '/v1/tenants/acme/functions/closed', { access: 'public' });
    expect((await send('GET', '/api/run/acme/closed', null)).status).toBe(200);
  });
});

describe('runs', () => {
  it('that fail are told in the shapes of webtask', async () => {
    await issue({ jtn: 'spin', code: 'module.exports = (cb) => { for (;;); };' });
    expect(await errorOf(send('GET', '/api/run/acme/spin', null))).toMatchObject({
      status: 504,
      code: 504,
      message: 'Blocked event loop.',
    });
    await issue({ jtn: 'nothing', code: '' });
    expect(await errorOf(send('GET', '/api/run/acme/nothing', null))).toMatchObject({
      status: 400,
      code: 400,
      error: 'Supplied code must return or export a function.',
    });
    await issue({ jtn: 'top', code: "throw new Error('at the top'); module.exports = (cb) => cb();" });
    expect(await errorOf(send('GET', '/api/run/acme/top', null))).toMatchObject({
      status: 400,
      error: expect.stringMatching(/^Unable to compile submitted JavaScript: .*at the top/),
    });
    await issue({ jtn: 'err', code: "module.exports = (cb) => cb(new Error('no'));" });
    expect(await errorOf(send('GET', '/api/run/acme/err', null))).toMatchObject({
      status: 400,
      error: 'Script returned an error.',
      message: 'no',
    });
    await issue({ jtn: 'sync', code: "module.exports = (cb) => { throw new Error('no'); };" });
    expect(await errorOf(send('GET', '/api/run/acme/sync', null))).toMatchObject({
      status: 500,
      error: 'Script generated an unhandled synchronous exception.',
    });
  });

  it('take a program as the body, whatever its type says, in a sandbox', async () => {
    const program =
      'module.exports = (ctx, req, res) => res.end(JSON.stringify([req.method, req.url, req.headers.authorization, typeof process.version]));';
    const response = await send('POST', '/api/run/acme?a=1', platform.token, program);
    expect(await response.json()).toEqual(['GET', '/api/run/acme?a=1', null, 'string']);
    const form = await fetch(`${platform.url}/api/run/acme`, {
      method: 'POST',
      body: 'module.exports = (cb) => cb(null, { y: 6 & 3 });',
      headers: {
        authorization: `Bearer ${platform.token}`,
        'content-type': 'application/x-www-form-urlencoded',
      },
    });
    expect(await form.json()).toEqual({ y: 2 });
    expect((await send('POST', '/api/run/acme', null, program)).status).toBe(401);
  });

  it('stream a large body both ways', async () => {
    await issue({ jtn: 'echo', code: 'module.exports = (ctx, req, res) => req.pipe(res);' });
    const size = 30 * 1024 * 1024;
    const received = await new Promise<number>((resolve, reject) => {
      const call = httpRequest(
        `${platform.url}/api/run/acme/echo`,
        { method: 'POST', headers: { 'content-length': size } },
        (response) => {
          let bytes = 0;
          response
            .on('data', (chunk: Buffer) => (bytes += chunk.length))
            .on('end', () => resolve(bytes))
            .on('error', reject);
        },
      ).on('error', reject);
      const piece = Buffer.alloc(1024 * 1024, 'x');
      let left = size / piece.length;
      const more = (): void => {
        while (left > 0) if ((left--, !call.write(piece))) return void call.once('drain', more);
        call.end();
      };
      more();
    });
    expect(received).toBe(size);
  });

  it('take a WebSocket', async () => {
    const code = `const crypto = require('node:crypto');
      const server = require('node:http').createServer((req, res) => res.end('no socket'));
      server.on('upgrade', (req, socket) => {
        const key = req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
        const accept = crypto.createHash('sha1').update(key).digest('base64');
        socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n');
        socket.write(Buffer.from([0x81, 2, 0x68, 0x69]));
        socket.on('data', () => socket.end());
      });
      module.exports = server;`;
    await issue({ jtn: 'ws', code });
    const address = `${platform.url.replace('http', 'ws')}/api/run/acme/`;
    const socket = new WebSocket(`${address}ws`);
    expect(
      await new Promise((resolve, reject) =>
        socket.once('message', (data: Buffer) => resolve(data.toString())).once('error', reject),
      ),
    ).toBe('hi');
    socket.close();
    const refused = new WebSocket(`${address}none`);
    const status = await new Promise((resolve) =>
      refused.once('unexpected-response', (_request, response) => resolve(response.statusCode)),
    );
    expect(status).toBe(404);
  });
});

describe('tenants', () => {
  it('do not see each other', async () => {
    await issue({ jtn: 'hello', code: ONE });
    const other = await issue({ ten: 'other' });
    for (const [method, path] of [
      ['GET', '/api/webtask/acme'],
      ['GET', '/api/webtask/acme/hello'],
      ['PUT', '/api/webtask/acme/hello'],
      ['DELETE', '/api/webtask/acme/hello'],
      ['GET', '/api/logs/tenant/acme'],
      ['POST', '/api/run/acme'],
    ] as const)
      expect(
        (await send(method, path, other, method === 'PUT' || method === 'POST' ? '{}' : undefined)).status,
        `${method} ${path}`,
      ).toBe(404);
    const foreign = await errorOf(
      send('POST', '/api/tokens/issue', other, JSON.stringify({ ten: 'acme', jtn: 'hello', code: ONE })),
    );
    expect(foreign).toMatchObject({ status: 404, statusCode: 404, message: expect.any(String) });
    expect(
      (
        await send(
          'POST',
          '/api/tokens/issue',
          other,
          JSON.stringify({ ten: 'brand-new', jtn: 'hello', code: ONE }),
        )
      ).status,
    ).toBe(404);
  });
});
