import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { routes } from '../../src/api/route-table.ts';
import { tenantIdSchema } from '../../src/contracts/ids.ts';
import type { Isolation } from '../../src/contracts/isolations.ts';
import { ApiWorld } from './api-world.ts';

let world: ApiWorld;
let acme: string;
const acmeId = tenantIdSchema.parse('acme');
const kidOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()).kid;
const source = 'module.exports = (cb) => cb()';

beforeAll(async () => {
  world = await ApiWorld.open();
  for (const id of ['acme', 'globex']) {
    await world.must('POST', '/v1/tenants', { id });
    await world.must('PUT', `/v1/tenants/${id}/functions/hello`, { source });
  }
  acme = await world.tokenOf('acme');
});
afterAll(() => world.close());

const as = (token: string | null, method: string, path: string, body?: unknown) =>
  world.send(method, path, body, { token });

describe('without a good token', () => {
  it('every route but the open ones answers 401', async () => {
    for (const route of routes.filter(({ scope }) => scope !== 'open')) {
      const path = fill(route.path, 'acme');
      for (const token of [null, 'nonsense', `${acme.slice(0, -4)}AAAA`]) {
        const answer = await as(token, route.method, path);
        expect(answer.status, `${route.method} ${path}`).toBe(401);
        expect(answer.headers.get('www-authenticate')).toBe('Bearer');
        expect(answer.body['code']).toBe(token === null ? 'TOKEN_MISSING' : 'TOKEN_INVALID');
      }
    }
  });

  it('a body is not waited for', async () => {
    const answer = await world.exchange(
      'PUT /v1/tenants/acme/functions/hello HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 401 /);
  });
});

describe("another tenant's token", () => {
  it('finds nothing on any route, and cannot tell whether the tenant is there', async () => {
    for (const route of routes.filter(({ path }) => path.includes(':tenant'))) {
      const there = await as(acme, route.method, fill(route.path, 'globex'), bodyFor(route));
      const notThere = await as(acme, route.method, fill(route.path, 'nobody'), bodyFor(route));
      expect(there.status, `${route.method} ${route.path}`).toBe(404);
      expect(there.body['code']).toBe('NOT_FOUND');
      expect(there.text.replaceAll('globex', 'nobody')).toBe(notThere.text);
    }
  });

  it('changed nothing there', async () => {
    expect(await world.must('GET', '/v1/tenants/globex/functions')).toMatchObject({
      items: [{ name: 'hello' }],
    });
    expect(await world.must('GET', '/v1/tenants/globex/keys')).toEqual({ items: [] });
  });
});

describe("a tenant's token", () => {
  it('manages its own things, and neither tenants nor the platform', async () => {
    expect((await as(acme, 'GET', '/v1/tenants/acme')).status).toBe(200);
    expect((await as(acme, 'GET', '/v1')).body).toMatchObject({
      tenant: 'acme',
      scopes: ['manage'],
      version: '1.2.3',
    });
    for (const route of routes.filter(({ scope }) => scope === 'operator' || scope === 'metrics')) {
      const answer = await as(acme, route.method, fill(route.path, 'acme'), bodyFor(route));
      expect(answer.status, `${route.method} ${route.path}`).toBe(403);
    }
  });

  it('with the scope run manages nothing', async () => {
    const run = await world.tokenOf('acme', ['run']);
    expect((await as(run, 'GET', '/v1/tenants/acme/functions')).body['code']).toBe('FORBIDDEN');
  });

  it('for one function manages that function only', async () => {
    await world.must('PUT', '/v1/tenants/acme/functions/other', { source });
    const one = await world.tokenOf('acme', ['manage'], 'hello');
    expect((await as(one, 'GET', '/v1/tenants/acme/functions/hello')).status).toBe(200);
    expect((await as(one, 'PUT', '/v1/tenants/acme/functions/hello', { source })).status).toBe(200);
    expect((await as(one, 'GET', '/v1/tenants/acme/logs?function=hello')).status).toBe(200);
    for (const [method, path, body] of [
      ['GET', '/v1/tenants/acme/functions/other'],
      ['PUT', '/v1/tenants/acme/functions/third', { source }],
      ['GET', '/v1/tenants/acme/functions'],
      ['GET', '/v1/tenants/acme/logs'],
      ['GET', '/v1/tenants/acme/logs?function=other'],
      ['POST', '/v1/tenants/acme/tokens', { scopes: ['manage'] }],
      ['POST', '/v1/tenants/acme/keys', { kind: 'hs256' }],
      ['POST', '/v1/tenants/acme/tokens/revoke-all'],
    ] as const) {
      expect((await as(one, method, path, body)).status, path).toBe(403);
    }
  });

  it('is refused while the tenant is suspended, its sandboxes are gone, and the operator still gets in', async () => {
    await world.must('POST', '/v1/tenants', { id: 'late' });
    const late = await world.tokenOf('late');
    await world.must('PATCH', '/v1/tenants/late', { state: 'suspended' });
    expect(world.evicted).toContain('late');
    expect((await as(late, 'GET', '/v1/tenants/late')).body['code']).toBe('TENANT_SUSPENDED');
    expect(await world.must('GET', '/v1/tenants/late')).toMatchObject({ state: 'suspended' });
    await world.must('PATCH', '/v1/tenants/late', { state: 'active' });
    expect((await as(late, 'GET', '/v1/tenants/late')).status).toBe(200);
    await world.must('DELETE', '/v1/tenants/late');
    expect((await as(late, 'GET', '/v1/tenants/late')).status).toBe(401);
    expect((await world.send('GET', '/v1/tenants/late')).status).toBe(404);
  });
});

describe('tokens', () => {
  it('are issued, and revoked by id or by themselves, at once', async () => {
    for (const how of ['jti', 'token'] as const) {
      const path = '/v1/tenants/acme/tokens';
      const issued = await world.must<{ token: string; jti: string }>('POST', path, {
        scopes: ['manage'],
        expiresInSeconds: 600,
      });
      expect((await as(issued.token, 'GET', '/v1/tenants/acme')).status).toBe(200);
      await world.must('POST', `${path}/revoke`, { [how]: issued[how] });
      expect((await as(issued.token, 'GET', '/v1/tenants/acme')).status).toBe(401);
    }
  });

  it('are not taken for revoked where only a piece of one was given', async () => {
    const path = '/v1/tenants/acme/tokens';
    const { token } = await world.must<{ token: string }>('POST', path, { scopes: ['run'] });
    const [header, claims] = token.split('.');
    for (const piece of [header!.slice(0, 9), header, `${header}.${claims}`, 'a b', 'a\u0000']) {
      const answer = await world.send('POST', `${path}/revoke`, { jti: piece });
      expect([piece, answer.status]).toEqual([piece, 400]);
      expect(answer.text).toMatch(/BAD_REQUEST.*\(jti\)/);
    }
    await world.must('POST', `${path}/revoke`, { jti: 'order.7' });
  });

  it('of one tenant cannot be revoked by another that gives its own tokens the same ids', async () => {
    const globex = await world.must<{ token: string; jti: string }>('POST', '/v1/tenants/globex/tokens', {
      scopes: ['manage'],
    });
    expect((await as(acme, 'POST', '/v1/tenants/acme/tokens/revoke', { jti: globex.jti })).status).toBe(204);
    expect((await as(acme, 'POST', '/v1/tenants/acme/tokens/revoke', { token: globex.token })).status).toBe(
      400,
    );
    expect((await as(globex.token, 'GET', '/v1/tenants/globex')).status).toBe(200);
  });

  it('of a tenant are revoked up to its limit; the others go on revoking', async () => {
    await world.must('POST', '/v1/tenants', { id: 'busy', limits: { revokedTokens: 1 } });
    const path = '/v1/tenants/busy/tokens/revoke';
    await world.must('POST', path, { jti: 'one' });
    const refused = await world.send('POST', path, { jti: 'two' });
    expect(refused.status).toBe(409);
    expect(refused.text).toContain('revokedTokens');
    await world.must('POST', '/v1/tenants/acme/tokens/revoke', { jti: 'two' });
  });

  it('of a tenant are all refused after revoke-all, and those issued afterwards are good', async () => {
    await world.must('POST', '/v1/tenants', { id: 'spring' });
    const old = await world.tokenOf('spring');
    expect((await as(old, 'POST', '/v1/tenants/spring/tokens/revoke-all')).status).toBe(204);
    expect((await as(old, 'GET', '/v1/tenants/spring')).status).toBe(401);
    expect((await as(await world.tokenOf('spring'), 'GET', '/v1/tenants/spring')).status).toBe(200);
    expect((await world.send('GET', '/v1/tenants/spring')).status).toBe(200);
  });

  it('outlive a rotation of the platform key', async () => {
    const old = await world.tokenOf('acme');
    const { id } = await world.must<{ id: string }>('POST', '/v1/keys/rotate');
    const fresh = await world.tokenOf('acme');
    expect(kidOf(fresh)).toBe(id);
    for (const token of [old, fresh]) expect((await as(token, 'GET', '/v1/tenants/acme')).status).toBe(200);
  });

  it('of the platform’s own making are revoked by the operator alone, whoever they are for', async () => {
    const path = '/v1/tokens/revoke';
    for (const how of ['jti', 'token'] as const) {
      const operators = await world.issuer.issue({ scopes: ['operator'], tenant: null });
      const tenants = await world.issuer.issue({ scopes: ['manage'], tenant: acmeId });
      expect((await as(tenants.token, 'POST', path, { [how]: operators[how] })).status).toBe(403);
      for (const [token, ask] of [
        [operators, '/v1/tenants'],
        [tenants, '/v1/tenants/acme'],
      ] as const) {
        expect((await as(token.token, 'GET', ask)).status).toBe(200);
        await world.must('POST', path, { [how]: token[how] });
        expect((await as(token.token, 'GET', ask)).status).toBe(401);
      }
    }
    expect((await world.send('POST', path, { token: 'nonsense' })).status).toBe(400);
  });

  it('are refused at once when their platform key is revoked; the one that signs is not', async () => {
    const own = await ApiWorld.open();
    try {
      await own.must('POST', '/v1/tenants', { id: 'acme' });
      const { token: old } = await own.issuer.issue({ scopes: ['operator'], tenant: null });
      const kid = kidOf(old);
      const refused = await own.send('DELETE', `/v1/keys/${kid}`);
      expect([refused.status, refused.body['code']]).toEqual([409, 'KEY_IN_USE']);
      await own.must('POST', '/v1/keys/rotate');
      const { token: fresh } = await own.issuer.issue({ scopes: ['operator'], tenant: null });
      const tenants = await own.tokenOf('acme');
      const send = (token: string, method: string, path: string) =>
        own.send(method, path, undefined, { token });
      expect((await send(tenants, 'DELETE', `/v1/keys/${kid}`)).status).toBe(403);
      expect((await send(fresh, 'DELETE', '/v1/keys/nobody')).status).toBe(404);
      expect((await send(old, 'GET', '/v1/tenants')).status).toBe(200);
      for (let n = 0; n < 2; n++) expect((await send(fresh, 'DELETE', `/v1/keys/${kid}`)).status).toBe(204);
      expect((await send(old, 'GET', '/v1/tenants')).status).toBe(401);
      expect((await send(fresh, 'GET', '/v1/tenants')).status).toBe(200);
    } finally {
      await own.close();
    }
  });

  it('that never end or have no scope are asked for in vain where they make no sense', async () => {
    for (const body of [
      {},
      { scopes: [] },
      { scopes: ['operator'] },
      { scopes: ['run'], expiresInSeconds: 0 },
    ]) {
      expect((await as(acme, 'POST', '/v1/tenants/acme/tokens', body)).status).toBe(400);
    }
  });
});

describe('keys of a tenant', () => {
  interface Key {
    readonly id: string;
    readonly secret: string;
  }

  it('made here are shown once, sign tokens, and are revoked at once', async () => {
    const key = await world.must<Key>('POST', '/v1/tenants/acme/keys', { kind: 'hs256', id: 'backend' });
    const token = signed(key, { scope: 'manage' });
    expect((await as(token, 'GET', '/v1/tenants/acme')).status).toBe(200);
    expect((await world.send('GET', '/v1/tenants/acme/keys')).text).not.toContain(key.secret);
    expect((await as(token, 'GET', '/v1/tenants/globex')).status).toBe(401);
    expect((await world.send('DELETE', '/v1/tenants/acme/keys/backend')).status).toBe(204);
    expect((await as(token, 'GET', '/v1/tenants/acme')).status).toBe(401);
    expect((await world.send('POST', '/v1/tenants/acme/keys', { kind: 'hs256', id: 'backend' })).status).toBe(
      409,
    );
  });

  it('given by the tenant are not shown again', async () => {
    const secret = Buffer.alloc(32, 3).toString('base64url');
    const answer = await world.send('POST', '/v1/tenants/acme/keys', { kind: 'jwe', secret });
    expect(answer.status).toBe(201);
    expect(answer.text).not.toContain(secret);
  });

  it.each([
    [{ kind: 'hs256', secret: Buffer.alloc(31).toString('base64url') }],
    [{ kind: 'jwe', secret: Buffer.alloc(33).toString('base64url') }],
    [{ kind: 'hs256', secret: '!'.repeat(64) }],
    [{ kind: 'rsa' }],
    [{ kind: 'hs256', id: '../k' }],
    [{ kind: 'jwks', url: 'http://example.com/keys' }],
    [{ kind: 'jwks', url: 'https://169.254.169.254/keys' }],
    [{ kind: 'jwks', url: 'https://user:word@example.com/keys' }],
    [{ kind: 'jwks', url: 'file:///etc/passwd' }],
    [{ kind: 'jwks', url: 'https://example.com/keys', secret: 'x' }],
  ])('such as %j are refused', async (body) => {
    expect((await world.send('POST', '/v1/tenants/acme/keys', body)).status).toBe(400);
  });

  it('have a limit in number', async () => {
    await world.must('PATCH', '/v1/tenants/globex', { limits: { keys: 1 } });
    await world.must('POST', '/v1/tenants/globex/keys', { kind: 'jwks', url: 'https://example.com/keys' });
    const { body } = await world.send('POST', '/v1/tenants/globex/keys', { kind: 'hs256' });
    expect(body).toMatchObject({ code: 'LIMIT_REACHED', name: 'keys', limit: 1 });
  });
});

describe('a driver with gaps', () => {
  const gaps = new Map<Isolation, string>([
    ['own-uid', 'not root on /somewhere'],
    ['seccomp', 'no kernel support'],
  ]);

  it('serves one tenant; the second is refused with the gaps by name, even of two at the same time', async () => {
    const small = await ApiWorld.open({ gaps, acceptedGaps: ['seccomp'] });
    try {
      const answers = await Promise.all(
        ['one', 'two', 'three'].map((id) => small.send('POST', '/v1/tenants', { id })),
      );
      expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409, 409]);
      expect(answers.find(({ status }) => status === 409)!.body).toMatchObject({
        code: 'ISOLATION_GAP',
        gaps: 'own-uid',
        driver: 'process',
      });
      expect(await small.must('GET', '/v1')).toMatchObject({
        driver: {
          gaps: [
            { name: 'own-uid', isAccepted: false, reason: 'not root on /somewhere' },
            { name: 'seccomp', isAccepted: true },
          ],
        },
      });
      const tenant = answers.find(({ status }) => status === 201)!.body['id'] as string;
      const seen = await small.send('GET', '/v1', undefined, { token: await small.tokenOf(tenant) });
      expect(seen.text).not.toContain('/somewhere');
    } finally {
      await small.close();
    }
  });

  it('serves more when the operator accepted each gap by name', async () => {
    const brave = await ApiWorld.open({ gaps, acceptedGaps: ['seccomp', 'own-uid'] });
    try {
      for (const id of ['one', 'two']) await brave.must('POST', '/v1/tenants', { id });
    } finally {
      await brave.close();
    }
  });
});

describe('a tenant', () => {
  it('shows its own limits and those in force, and changes them at once', async () => {
    const created = await world.must('POST', '/v1/tenants', {
      id: 'sized',
      name: 'Sized Ltd',
      limits: { pids: 99 },
    });
    expect(created).toMatchObject({
      name: 'Sized Ltd',
      limits: { pids: 99 },
      effectiveLimits: { pids: 99, codeBytes: 1024 * 1024, wallMs: 30_000 },
    });
    const changed = await world.must('PATCH', '/v1/tenants/sized', { limits: { wallMs: 5_000 } });
    expect(changed).toMatchObject({
      limits: { wallMs: 5_000 },
      effectiveLimits: { pids: 64, wallMs: 5_000 },
    });
    expect(world.applied).toContain('sized');
    for (const limits of [{ pids: 1 }, { pids: 1e9 }, { nonsense: 1 }, { pids: '99' }]) {
      expect((await world.send('PATCH', '/v1/tenants/sized', { limits })).status).toBe(400);
    }
  });

  it('has an egress policy, and a usage by day', async () => {
    expect((await world.must('POST', '/v1/tenants', { id: 'connected' })).egress).toBe('public');
    const egress = ['*.example.com:443', '10.1.2.3:5432'];
    world.applied.length = 0;
    expect((await world.must('PATCH', '/v1/tenants/connected', { egress })).egress).toEqual(egress);
    expect(world.applied).toContain('connected');
    expect((await world.must('GET', '/v1/tenants/connected')).egress).toEqual(egress);
    for (const wrong of ['all', [], ['http://x/'], ['2130706433'], { host: 'x' }])
      expect((await world.send('PATCH', '/v1/tenants/connected', { egress: wrong })).status).toBe(400);
    expect(await world.must('GET', '/v1/tenants/connected/usage?days=2')).toEqual({ items: [] });
    expect((await world.send('GET', '/v1/tenants/connected/usage?days=0')).status).toBe(400);
    expect((await world.send('GET', '/v1/tenants/nobody/usage')).status).toBe(404);
  });

  it('exists once', async () => {
    expect((await world.send('POST', '/v1/tenants', { id: 'acme' })).body['code']).toBe('CONFLICT');
  });
});

function fill(path: string, tenant: string): string {
  return path
    .replace(':tenant', tenant)
    .replace(':fn', 'hello')
    .replace(':revision', `r${'0'.repeat(24)}`)
    .replace(':secret', 'A')
    .replace(':service', 'redis')
    .replace(':key', 'k1')
    .replace(':kid', 'k1');
}

function bodyFor({ method }: { readonly method: string }): object | undefined {
  return method === 'GET' ? undefined : {};
}

function signed(key: { readonly id: string; readonly secret: string }, claims: object): string {
  const now = Math.floor(Date.now() / 1_000);
  const text = [
    { alg: 'HS256', kid: key.id },
    { iat: now, exp: now + 60, ...claims },
  ]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${text}.${createHmac('sha256', Buffer.from(key.secret, 'base64url')).update(text).digest('base64url')}`;
}
