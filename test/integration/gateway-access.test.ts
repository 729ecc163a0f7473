/** Who gets to a function, and what goes elsewhere. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sendRaw, until } from '../../src/invoke/testing/bench-host.ts';
import { startWorld, type World } from './gateway-world.ts';

let world: World;

beforeAll(async () => {
  world = await startWorld((call) => call.answer('ran'));
});
beforeEach(() => {
  world.sandboxes.calls.length = 0;
  world.controlled.length = 0;
});
afterAll(() => world[Symbol.asyncDispose]());

const call = async (
  path: string,
  token?: string,
): Promise<{ status: number; code: string | null; response: Response }> => {
  const response = await fetch(
    world.url + path,
    token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
  );
  const text = await response.text();
  return {
    status: response.status,
    code: text.startsWith('{') ? (JSON.parse(text) as { code: string }).code : null,
    response,
  };
};

describe('a function that wants a token', () => {
  it('runs with one for it', async () => {
    for (const token of ['acme:run', 'acme:run:private', 'x:operator', 'slow-acme:run'])
      expect((await call('/run/acme/private', token)).status).toBe(200);
    expect(world.sandboxes.calls[0]!.header('authorization')).toEqual(['Bearer acme:run']);
  });

  it('does not see a token that may do more than it', async () => {
    for (const token of ['x:operator', 'slow-x:operator']) await call('/run/acme/private', token);
    expect(world.sandboxes.calls.map((seen) => seen.header('authorization'))).toEqual([[], []]);
  });

  it('says what is missing', async () => {
    const { status, code, response } = await call('/run/acme/private');
    expect([status, code, response.headers.get('www-authenticate')]).toEqual([
      401,
      'TOKEN_MISSING',
      'Bearer',
    ]);
  });

  it.each([
    ['garbage', 401, 'TOKEN_INVALID'],
    ['slow-garbage', 401, 'TOKEN_INVALID'],
    ['globex:run', 403, 'FORBIDDEN'],
    ['slow-globex:run', 403, 'FORBIDDEN'],
    ['acme:run:hello', 403, 'FORBIDDEN'],
    ['acme:manage', 403, 'FORBIDDEN'],
  ])('does not run with %s', async (token, status, code) => {
    expect(await call('/run/acme/private', token)).toMatchObject({ status, code });
    expect(world.sandboxes.calls).toHaveLength(0);
  });

  it('does not wait for a body before it says so', async () => {
    const { text } = await sendRaw(
      world.port,
      'POST /run/acme/private HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n',
      (heard) => heard.includes('\r\n\r\n'),
    );
    expect(text).toMatch(/^HTTP\/1\.1 401 /);
    expect(text).not.toContain('100 Continue');
  });
});

it('a public function runs for everybody, whatever token comes along', async () => {
  expect((await call('/run/acme/hello')).status).toBe(200);
  expect((await call('/run/acme/hello', 'garbage')).status).toBe(200);
});

it('a public function sees what callers say about themselves, but no token that manages the platform', async () => {
  const tokenOf = (claims: object): string =>
    `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;
  const hidden = [
    { iss: 'berth', scope: 'operator' },
    { iss: 'berth', scope: 'manage run' },
  ].map(tokenOf);
  const seen = [
    { iss: 'berth', scope: 'run' },
    { iss: 'other', scope: 'manage' },
    { iss: 'berth', scope: 7 },
  ].map(tokenOf);
  for (const token of [...hidden, ...seen, 'e30.!.e30'])
    expect((await call('/run/acme/hello', token)).status).toBe(200);
  expect(world.sandboxes.calls.flatMap((got) => got.header('authorization'))).toEqual(
    [...seen, 'e30.!.e30'].map((token) => `Bearer ${token}`),
  );
});

it('what is not there is NOT_FOUND, a suspended tenant says so', async () => {
  expect(await call('/run/acme/missing')).toMatchObject({ status: 404, code: 'NOT_FOUND' });
  expect(await call('/run/nobody/hello')).toMatchObject({ status: 404, code: 'NOT_FOUND' });
  expect(await call('/run/closed/hello')).toMatchObject({ status: 403, code: 'TENANT_SUSPENDED' });
});

it('all other addresses are the control plane’s', async () => {
  for (const path of [
    '/',
    '/v1/tenants?limit=1',
    '/healthz',
    '/readyz',
    '/metrics',
    '/openapi.json',
    '/api/run/x',
  ])
    await call(path);
  expect(world.controlled).toEqual([
    '/',
    '/v1/tenants?limit=1',
    '/healthz',
    '/readyz',
    '/metrics',
    '/openapi.json',
    '/api/run/x',
  ]);
  expect(world.sandboxes.calls).toHaveLength(0);
});

it('who waits for 100 Continue gets it when the body is wanted', async () => {
  const head =
    'POST /run/acme/hello HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nok';
  expect((await sendRaw(world.port, head)).text).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /);
  expect((await sendRaw(world.port, head.replace('/run/acme/hello', '/v1/x'))).text).toMatch(
    /^HTTP\/1\.1 100 Continue/,
  );
  expect((await sendRaw(world.port, head.replace('100-continue', '200-nonsense'))).text).toMatch(
    /^HTTP\/1\.1 417 /,
  );
});

it('keeps a connection for the next request after a refusal', async () => {
  const refused = 'POST /run/acme/private HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde';
  const good = 'GET /run/acme/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
  const { text } = await sendRaw(world.port, refused + good);
  expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 401', 'HTTP/1.1 200']);
});

it('a server that stops ends its connections with the response', async () => {
  const own = await startWorld(() => undefined);
  const running = fetch(`${own.url}/run/acme/hello`);
  const next = sendRaw(own.port, 'GET /run/acme/hello HTTP/1.1\r\nHost: a\r\n\r\n');
  await until(() => own.sandboxes.calls.length === 2);
  const closed = new Promise((resolve) => {
    own.server.close(resolve);
  });
  for (const sandboxed of own.sandboxes.calls) sandboxed.answer('late');
  expect(await (await running).text()).toBe('late');
  const { text } = await next;
  expect(text).toContain('late');
  expect(text).toMatch(/^connection: close\r$/im);
  expect(text).not.toContain('[still open]');
  await closed;
});
