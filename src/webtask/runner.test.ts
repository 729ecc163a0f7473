import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { once } from 'node:events';
import { type ClientRequest, request as httpRequest, type Server } from 'node:http';
import { connect } from 'node:net';
import { functionNameSchema, tenantIdSchema } from '../contracts/ids.ts';
import { peekClaims } from '../invoke/caller-token.ts';
import { type SeenRun, startTestFace, type TestFace } from './testing/test-face.ts';

const CODE = 'module.exports = (cb) => cb(null, 1);';
const acme = tenantIdSchema.parse('acme');
let face: TestFace;

beforeEach(async () => {
  face = await startTestFace();
});
afterEach(() => face.close());

async function issue(claims: Record<string, unknown>): Promise<{ token: string; location: string }> {
  const response = await fetch(`${face.url}/api/tokens/issue`, {
    method: 'POST',
    headers: { authorization: `Bearer ${face.manager}` },
    body: JSON.stringify({ ten: 'acme', ...claims }),
  });
  const token = await response.text();
  expect(response.status, token).toBe(200);
  return { token, location: response.headers.get('location') ?? '' };
}

async function run(path: string, init: RequestInit = {}): Promise<SeenRun> {
  const response = await fetch(path.startsWith('http') ? path : face.url + path, init);
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return JSON.parse(text) as SeenRun;
}

async function status(path: string, init: RequestInit = {}): Promise<number> {
  const response = await fetch(face.url + path, init);
  expect(((await response.json()) as { message: string }).message).not.toBe('');
  return response.status;
}

const bearer = (token: string): RequestInit => ({ headers: { authorization: `Bearer ${token}` } });
const hasHeader = (seen: SeenRun, name: string): boolean =>
  seen.headers.some((text, index) => index % 2 === 0 && text.toLowerCase() === name);

describe('a named webtask', () => {
  it('runs for everybody, and sees the whole path, the query and the body', async () => {
    const { location } = await issue({ jtn: 'hello', code: CODE });
    const seen = await run(`${location}/deep/path?a=1&key=its-own`, {
      method: 'PATCH',
      body: 'a=1',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    expect(seen).toMatchObject({
      fn: 'hello',
      method: 'PATCH',
      url: '/api/run/acme/hello/deep/path?a=1&key=its-own',
      body: 'a=1',
    });
  });

  it('takes JSON that is broken as it is', async () => {
    await issue({ jtn: 'hello', code: CODE });
    const seen = await run('/api/run/acme/hello', {
      method: 'POST',
      body: '{',
      headers: { 'content-type': 'application/json' },
    });
    expect(seen.body).toBe('{');
  });

  it('keeps what a caller says about itself, a token too, when it is public', async () => {
    await issue({ jtn: 'hello', code: CODE });
    expect(hasHeader(await run('/api/run/acme/hello', bearer('of-the-function')), 'authorization')).toBe(
      true,
    );
    const { token: runOnly } = await face.tokens.issue({ scopes: ['run'], tenant: acme });
    for (const [token, isSeen] of [
      [runOnly, true],
      [face.manager, false],
      [face.operator, false],
    ] as const)
      expect(hasHeader(await run('/api/run/acme/hello', bearer(token)), 'authorization')).toBe(isSeen);
    for (const [token, isSeen] of [
      [runOnly, true],
      [face.manager, false],
      [face.operator, false],
    ] as const)
      expect((await run(`/api/run/acme/hello?a=1&key=${token}`)).url.includes(token)).toBe(isSeen);
  });

  it('that wants a token, takes it by header or key, and hides one that may manage', async () => {
    const { token } = await issue({ jtn: 'closed', code: CODE });
    await face.control.updateFunction(acme, functionNameSchema.parse('closed'), { access: 'token' });
    expect(await status('/api/run/acme/closed')).toBe(401);
    expect(hasHeader(await run('/api/run/acme/closed', bearer(token)), 'authorization')).toBe(true);
    expect(hasHeader(await run('/api/run/acme/closed', bearer(face.manager)), 'authorization')).toBe(false);
    expect(hasHeader(await run('/api/run/acme/closed', bearer(face.operator)), 'authorization')).toBe(false);
    expect((await run(`/api/run/acme/closed?a=1&key=${face.manager}&b`)).url).toBe(
      '/api/run/acme/closed?a=1&b',
    );
    const { token: other } = await issue({ jtn: 'other', code: CODE });
    expect(await status('/api/run/acme/closed', bearer(other))).toBe(403);
    const foreign = await face.tokens.issue({ scopes: ['run'], tenant: tenantIdSchema.parse('foreign') });
    expect(await status('/api/run/acme/closed', bearer(foreign.token))).toBe(403);
  });

  it('is not there: 404 in the shape of a run', async () => {
    const response = await fetch(`${face.url}/api/run/acme/none`);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ code: 404, error: 'Not Found', reason: 'NOT_FOUND' });
    expect(await status('/api/run/nobody/none')).toBe(404);
  });

  it('does not run while its tenant is suspended', async () => {
    await issue({ jtn: 'hello', code: CODE });
    face.control.tenants.set('acme', { ...face.control.tenants.get('acme')!, state: 'suspended' });
    expect(await status('/api/run/acme/hello')).toBe(403);
  });

  it('that blocks its event loop is told in the words that clients look for', async () => {
    await issue({ jtn: 'hello', code: CODE });
    const response = await fetch(`${face.url}/api/run/acme/hello/spin`);
    expect(response.status).toBe(504);
    const text = await response.text();
    expect(text).toContain('\n  "');
    expect(JSON.parse(text)).toMatchObject({
      code: 504,
      message: 'Blocked event loop.',
      reason: 'EVENT_LOOP_BLOCKED',
      details: expect.stringContaining('blockedMs'),
    });
  });

  it('takes an upgrade where it takes a request', async () => {
    await issue({ jtn: 'hello', code: CODE });
    await issue({ jtn: 'closed', code: CODE });
    await face.control.updateFunction(acme, functionNameSchema.parse('closed'), { access: 'token' });
    face.app.server.on('upgrade', (request, socket, head) => {
      if (!face.face.handleUpgrade(request, socket, head)) socket.end('HTTP/1.1 418 not ours\r\n\r\n');
    });
    expect(await upgrade('/api/run/acme/hello')).toBe(101);
    expect(await upgrade('/api/run/acme/none')).toBe(404);
    expect(await upgrade('/api/run/acme/closed')).toBe(401);
    expect(await upgrade(`/api/run/acme/closed?key=${face.manager}`)).toBe(101);
    expect(await upgrade('/run/acme/hello')).toBe(418);
  });

  it('lets go of an upgrade that it refused, though the caller does not', async () => {
    face.app.server.on('upgrade', (request, socket, head) => face.face.handleUpgrade(request, socket, head));
    const { port } = new URL(face.url);
    const caller = connect({ port: Number(port), host: '127.0.0.1', allowHalfOpen: true });
    caller.write(
      'GET /api/run/acme/none HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    );
    const chunks: Buffer[] = [];
    caller.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(caller, 'end');
    expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1\.1 404 /);
    await expect.poll(() => connections(face.app.server)).toBe(0);
    caller.destroy();
  });
});

function changeTenant(state: 'active' | 'suspended'): void {
  face.control.tenants.set('acme', { ...face.control.tenants.get('acme')!, state });
}

function connections(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
  });
}

function upgrade(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    httpRequest(face.url + path, { headers: { connection: 'Upgrade', upgrade: 'websocket' } })
      .on('upgrade', (response) => resolve(response.statusCode!))
      .on('response', (response) => resolve(response.statusCode!))
      .on('error', reject)
      .end();
  });
}

describe('an unnamed webtask', () => {
  it('runs by its token, and does not see it', async () => {
    const { location, token } = await issue({ code: CODE, ectx: { a: 'b' } });
    expect(location).toBe(`${face.url}/api/run/acme?key=${token}`);
    const seen = await run(`${location}&a=1`, { method: 'POST', body: 'input' });
    expect(seen).toMatchObject({ method: 'POST', url: '/api/run/acme?a=1', body: 'input' });
    expect(await run('/api/run/acme', bearer(token))).toMatchObject({ method: 'GET', fn: seen.fn });
  });

  it('does not see a token of its tenant that names it and manages as well', async () => {
    const { token: own } = await issue({ code: CODE });
    const claims = { url: peekClaims(own)!['url'] };
    const { token } = await face.tokens.issue({ scopes: ['manage', 'run'], tenant: acme, claims });
    expect(hasHeader(await run('/api/run/acme', bearer(own)), 'authorization')).toBe(true);
    expect(hasHeader(await run('/api/run/acme', bearer(token)), 'authorization')).toBe(false);
  });

  it('does not run by its name without a token, nor by a token for the container of another', async () => {
    const { token } = await issue({ code: CODE });
    const { fn } = await run('/api/run/acme', bearer(token));
    expect(await status(`/api/run/acme/${fn}`)).toBe(401);
    const { token: another } = await issue({ code: `${CODE}//2` });
    expect(await status(`/api/run/acme/${fn}`, bearer(another))).toBe(403);
    await face.control.createTenant({ id: tenantIdSchema.parse('other') });
    expect(await status('/api/run/other', bearer(token))).toBe(404);
    expect(await status('/api/run/acme')).toBe(401);
    expect(await status('/api/run/acme', bearer(face.manager))).toBe(400);
  });

  it('is kept once for equal programs, and makes room when expired', async () => {
    await issue({ code: CODE });
    await issue({ code: CODE });
    expect(face.control.functions.size).toBe(1);
    face.control.tenants.set('acme', { ...face.control.tenants.get('acme')!, limits: { functions: 2 } });
    await issue({ code: `${CODE}//2`, exp: Math.floor(face.clock.now() / 1_000) + 10 });
    await face.clock.advance(11_000);
    await issue({ code: `${CODE}//3` });
    expect(face.control.functions.size).toBe(2);
  });

  it('comes back with its code when its claims do', async () => {
    const first = await issue({ code: CODE });
    const claims = JSON.parse(Buffer.from(first.token.split('.')[1]!, 'base64url').toString()) as Record<
      string,
      unknown
    >;
    const again = await issue({ url: claims['url'], meta: { a: '1' } });
    expect((await run('/api/run/acme', bearer(again.token))).fn).toBe(
      (await run('/api/run/acme', bearer(first.token))).fn,
    );
  });
});

describe('a program as the body', () => {
  const post = (body: string, token = face.manager) => ({
    method: 'POST',
    body,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-www-form-urlencoded' },
  });

  it('runs as a GET without a body, and sees neither type nor token', async () => {
    const seen = await run('/api/run/acme?webtask_pb=1', post('a=1&b=2; program'));
    expect(seen).toMatchObject({ method: 'GET', url: '/api/run/acme?webtask_pb=1', body: '' });
    for (const name of ['authorization', 'content-type', 'content-length'])
      expect(hasHeader(seen, name), name).toBe(false);
    expect((await run('/api/run/acme', post('a=1&b=2; program'))).key).toBe(seen.key);
    expect((await run('/api/run/acme', post('another'))).key).not.toBe(seen.key);
  });

  it('is forgotten when its tenant sends many', async () => {
    const { key } = await run('/api/run/acme', post('0'));
    for (let index = 1; index <= 8; index++) await run('/api/run/acme', post(String(index)));
    expect(face.retired).toEqual([key]);
  });

  it('needs a token that manages, a limit that holds, and code that compiles', async () => {
    const { token } = await issue({ jtn: 'hello', code: CODE });
    const { token: runOnly } = await face.tokens.issue({ scopes: ['run'], tenant: acme });
    expect(await status('/api/run/acme', post('x', runOnly))).toBe(403);
    expect((await run('/api/run/acme', post('x', token))).fn).toBe('hello');
    expect(await status('/api/run/acme', post('syntax error'))).toBe(400);
    expect(await status('/api/run/acme?webtask_url=https://example.com', post(''))).toBe(400);
    face.control.tenants.set('acme', { ...face.control.tenants.get('acme')!, limits: { codeBytes: 1_024 } });
    expect(await status('/api/run/acme', post('x'.repeat(2_000)))).toBe(413);
  });

  /** Begins to send a program and leaves it at that. */
  function begin(): { call: ClientRequest; answer: Promise<number> } {
    const call = httpRequest(`${face.url}/api/run/acme`, post(''));
    const answer = new Promise<number>((resolve, reject) => {
      call.on('error', reject).on('response', (response) => resolve(response.resume().statusCode!));
    });
    call.write('module.exports =');
    return { call, answer };
  }

  it('is read of four callers of a container at a time', async () => {
    const statuses: number[] = [];
    const calls = Array.from({ length: 6 }, () => {
      const { call, answer } = begin();
      const ended = answer.then((code) => statuses.push(code));
      return { call, ended };
    });
    // Each that is read has a clock, and each that waits for its turn another one of twice the time.
    await expect.poll(() => face.clock.waiting).toBe(6);
    await face.clock.advance(30_000);
    await expect.poll(() => statuses).toEqual([408, 408, 408, 408]);
    for (const { call } of calls) call.end('1');
    await Promise.all(calls.map(({ ended }) => ended));
    expect(statuses.slice(4)).toEqual([200, 200]);
  });

  it.each([
    ['its tenant is suspended', 403, (): void => changeTenant('suspended')],
    ['its tenant is deleted', 404, (): unknown => face.control.tenants.delete('acme')],
    [
      'its token is revoked',
      401,
      (): unknown => face.tokens.revoked.add(String(peekClaims(face.manager)!['jti'])),
    ],
  ] as const)('does not run when %s while it is sent', async (_case, expected, change) => {
    const { call, answer } = begin();
    await expect.poll(() => face.clock.waiting).toBe(1);
    change();
    call.end('1');
    expect(await answer).toBe(expected);
  });

  it('must arrive in time', async () => {
    const answer = new Promise<number>((resolve, reject) => {
      const call = httpRequest(`${face.url}/api/run/acme`, post('')).on('error', reject);
      call.on('response', (response) => resolve(response.statusCode!));
      call.write('module.exports =');
    });
    await expect.poll(() => face.clock.waiting).toBe(1);
    await face.clock.advance(30_000);
    expect(await answer).toBe(408);
  });
});
