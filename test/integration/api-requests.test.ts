import { request as httpRequest } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { errorDefinitions } from '../../src/contracts/errors.ts';
import { ApiWorld } from './api-world.ts';

let world: ApiWorld;

beforeAll(async () => {
  world = await ApiWorld.open({
    mounts: [
      {
        prefix: '/api',
        async register(scope) {
          scope.setErrorHandler((error, _request, reply) => reply.code(418).send({ message: String(error) }));
          scope.removeAllContentTypeParsers();
          scope.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
          scope.post('/echo', async (request) => ({ got: request.body }));
          scope.get('/fails', async () => {
            throw new Error('its own shape');
          });
        },
      },
    ],
  });
  await world.must('POST', '/v1/tenants', { id: 'acme' });
});
afterAll(() => world.close());

interface Problem {
  readonly code: keyof typeof errorDefinitions;
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly wayOut: string;
}

describe('what is wrong is told as a problem', () => {
  it.each([
    ['an unknown address', 'GET /v2/things', 404, 'ROUTE_NOT_FOUND'],
    ['a method that is not there', 'PUT /v1/tenants', 405, 'METHOD_NOT_ALLOWED'],
    ['a query that is not there', 'GET /v1/tenants?colour=red', 400, 'BAD_REQUEST'],
    ['a limit of a page that is none', 'GET /v1/tenants?limit=0', 400, 'BAD_REQUEST'],
    ['a tenant that is not there', 'GET /v1/tenants/nobody', 404, 'NOT_FOUND'],
    ['a tenant that cannot be', 'GET /v1/tenants/No%20Body', 400, 'NAME_INVALID'],
    ['an escape that is not UTF-8', 'GET /v1/tenants/%ff', 400, 'BAD_REQUEST'],
  ])('%s', async (_what, call, status, code) => {
    const [method = '', path = ''] = call.split(' ');
    const answer = await world.send<Problem>(method, path);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f]{16}$/);
    expect(answer.body).toMatchObject({ code, status, title: code, type: `urn:berth:error:${code}` });
    expect(answer.body.detail).not.toContain('{');
  });

  it('405 says what the address takes', async () => {
    expect((await world.send('DELETE', '/v1/tenants')).headers.get('allow')).toBe('POST, GET, HEAD');
  });

  it('a body that is not JSON, not UTF-8, not an object or too deep', async () => {
    const bodies = [
      '{"id":',
      '{"id":"a"',
      Buffer.from('{"id":"\xff"}', 'latin1'),
      '[]',
      'null',
      '"x"',
      '[1'.repeat(1e5),
    ];
    for (const body of bodies) {
      const answer = await world.send('POST', '/v1/tenants', body, {
        headers: { 'content-type': 'application/json' },
      });
      expect([answer.status, answer.body['code']], String(body).slice(0, 20)).toEqual([400, 'BAD_REQUEST']);
    }
  });

  it('a body in another form, or none', async () => {
    for (const [body, type] of [
      ['id=acme', 'application/x-www-form-urlencoded'],
      ['<id/>', 'text/xml'],
      [undefined, 'application/json'],
    ] as const) {
      const answer = await world.send('POST', '/v1/tenants', body, { headers: { 'content-type': type } });
      expect([answer.status, answer.body['code']]).toEqual([400, 'BAD_REQUEST']);
    }
  });

  it('a body over its limit, by name', async () => {
    const answer = await world.send('POST', '/v1/tenants', { id: 'big', name: 'x'.repeat(5 * 1024 * 1024) });
    expect(answer.status).toBe(413);
    expect(answer.body).toMatchObject({ code: 'BODY_TOO_LARGE', limit: 'apiBodyBytes' });
  });

  it('what the platform did wrong, with an id and nothing else', async () => {
    const { getTenant } = world.store;
    world.store.getTenant = () => Promise.reject(new Error('disk on fire at /var/lib/somewhere'));
    try {
      const answer = await world.send('GET', '/v1/tenants/acme');
      expect(answer.status).toBe(500);
      expect(answer.text).not.toMatch(/somewhere|fire|\.ts|node_modules/);
      const id = answer.headers.get('x-request-id');
      expect(answer.body).toMatchObject({ code: 'INTERNAL', requestId: id });
      expect(world.reported.at(-1)).toMatchObject({
        requestId: id,
        route: '/v1/tenants/:tenant',
        code: 'INTERNAL',
      });
      expect(String(world.reported.at(-1)!['err'])).toContain('disk on fire');
    } finally {
      world.store.getTenant = getTenant;
    }
  });
});

describe('hostile names', () => {
  const names = [
    '..%00',
    '%2e%2e%2fetc',
    'a%0d%0ab',
    'a%00b',
    '%E2%80%AE',
    'x'.repeat(10_000),
    "a'%3B--",
    '%20',
  ];
  it.each(names)('such as %.20s are refused in every part of an address', async (name) => {
    for (const [method, path, body] of [
      ['GET', `/v1/tenants/${name}`],
      ['PUT', `/v1/tenants/acme/functions/${name}`, { source: 'x' }],
      ['GET', `/v1/tenants/acme/functions/f/revisions/${name}`],
      ['PUT', `/v1/tenants/acme/functions/f/secrets/${name}`, { value: 'x' }],
      ['DELETE', `/v1/tenants/acme/keys/${name}`],
      ['GET', `/v1/tenants/acme/logs?function=${name}`],
      ['GET', `/v1/tenants/acme/logs/stream?function=${name}`],
      ['PUT', `/v1/tenants/acme/functions/f?filename=..%2F${name}`, 'x'],
    ] as const) {
      const answer = await world.send(method, path, body);
      expect(answer.status, `${method} ${path.slice(0, 80)}`).toBe(400);
      expect(['NAME_INVALID', 'BAD_REQUEST']).toContain(answer.body['code']);
      expect(answer.text.length).toBeLessThan(1_500);
    }
  });

  it('are refused in dot segments that no client has resolved', async () => {
    for (const path of [
      '/v1/tenants/..',
      '/v1/tenants/%2e%2e',
      '/v1/tenants/acme/functions/..',
      '/v1/tenants/.',
    ]) {
      expect(await rawStatus(path), path).toBe(400);
    }
  });

  it('are refused in bodies', async () => {
    const function_ = '/v1/tenants/acme/functions/f';
    const source = 'x';
    for (const [path, body] of [
      ['/v1/tenants', { id: '../../etc' }],
      ['/v1/tenants', { id: 'a\0b' }],
      ['/v1/tenants', { id: '\ud800' }],
      ['/v1/tenants', { id: 'x'.repeat(10_000) }],
      ['/v1/tenants', { id: 'fine', name: 'a\nb' }],
      [function_, { source, filename: '../x.js' }],
      [function_, { source, filename: 'a\0.js' }],
      [function_, { source, filename: '..' }],
      [function_, { source, env: { 'A=B': 'x' } }],
      [function_, { source, env: { A: 'x\0y' } }],
      [function_, { source, secrets: { '../x': 'x' } }],
      [function_, { source, secrets: { A: '\udc00' } }],
      [function_, { source, meta: { 'a\nb': 'x' } }],
      [function_, { source, meta: { a: 1 } }],
      [function_, { source: '\ud800' }],
    ] as const) {
      const answer = await world.send(path === function_ ? 'PUT' : 'POST', path, body);
      expect(answer.status, JSON.stringify(body).slice(0, 60)).toBe(400);
    }
    expect((await world.send('GET', function_)).status).toBe(404);
  });

  it('that touch prototypes are refused or harmless', async () => {
    const source = '"source":"x"';
    for (const [text, status] of [
      [`{${source},"__proto__":{"access":"token"}}`, 400],
      [`{${source},"env":{"__proto__":"x"}}`, 400],
      [`{${source},"env":{"\\u005f_proto__":"x"}}`, 400],
      [`{${source},"env":{"__\\u0070roto__":"x"}}`, 400],
      [`{${source},"constructor":{"prototype":{"polluted":1}}}`, 400],
      [`{${source},"meta":{"constructor":"x","hasOwnProperty":"y"}}`, 200],
    ] as const) {
      const answer = await world.send('PUT', '/v1/tenants/acme/functions/proto', text, {
        headers: { 'content-type': 'application/json' },
      });
      expect(answer.status, text).toBe(status);
    }
    expect(await world.must('GET', '/v1/tenants/acme/functions/proto')).toMatchObject({
      meta: { constructor: 'x', hasOwnProperty: 'y' },
    });
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

describe('settings', () => {
  it('of env and meta have a limit in bytes, by name', async () => {
    for (const field of ['env', 'meta']) {
      const answer = await world.send('PUT', '/v1/tenants/acme/functions/f', {
        source: 'x',
        [field]: { A: 'x'.repeat(70_000) },
      });
      expect(answer.body).toMatchObject({ code: 'SETTING_TOO_LARGE', name: 'settingsBytes', limit: 65_536 });
    }
  });
});

describe('health', () => {
  afterEach(() => {
    world.isReady = true;
    world.isStopping = false;
    world.isSupervised = true;
  });

  it('is 200 as long as the process turns, also when it is not ready', async () => {
    world.isReady = false;
    expect((await world.send('GET', '/healthz', undefined, { token: null })).text).toBe('ok\n');
  });

  it('of readiness says why not', async () => {
    const ready = () => world.send('GET', '/readyz', undefined, { token: null });
    expect(await ready()).toMatchObject({ status: 200, body: { isReady: true, reasons: [] } });
    world.isReady = false;
    expect(await ready()).toMatchObject({ status: 503, body: { reasons: ['no sandbox is ready'] } });
    world.isStopping = true;
    expect(await ready()).toMatchObject({ status: 503, body: { reasons: ['the platform is stopping'] } });
    world.isReady = true;
    world.isStopping = false;
    world.isSupervised = false;
    expect(await ready()).toMatchObject({ status: 503, body: { reasons: ['the supervisor is gone'] } });
    world.isSupervised = true;
    const { ping } = world.store;
    world.store.ping = () => Promise.reject(new Error('locked'));
    expect(await ready()).toMatchObject({ status: 503, body: { reasons: ['the store does not answer'] } });
    world.store.ping = ping;
  });

  it('answers HEAD too', async () => {
    expect((await world.send('HEAD', '/healthz', undefined, { token: null })).status).toBe(200);
  });
});

describe('metrics', () => {
  it("want the operator's token", async () => {
    expect((await world.send('GET', '/metrics', undefined, { token: null })).status).toBe(401);
    expect((await world.send('GET', '/metrics')).text).toBe('berth_up 1\n');
  });

  it('are open where the operator says so', async () => {
    const open = await ApiWorld.open({ metricsPublic: true });
    expect((await open.send('GET', '/metrics', undefined, { token: null })).status).toBe(200);
    await open.close();
  });
});

describe('the document of the API', () => {
  it('is OpenAPI 3.1 with every route, and every reference leads somewhere', async () => {
    const { body, text } = await world.send<{
      openapi: string;
      paths: Record<string, Record<string, object>>;
    }>('GET', '/openapi.json', undefined, { token: null });
    expect(body.openapi).toBe('3.1.0');
    expect(body.paths['/v1/tenants/{tenant}/functions/{fn}']).toHaveProperty('put.requestBody');
    const references = new Set(text.match(/#\/components\/schemas\/\w+/g));
    expect(references.size).toBeGreaterThanOrEqual(5);
    for (const reference of references) {
      const steps = reference.slice(2).split('/');
      const target = steps.reduce<unknown>((value, step) => (value as Record<string, unknown>)[step], body);
      expect(target, reference).toMatchObject({ type: 'object' });
    }
    expect(text).not.toContain('$defs');
  });

  it('is linked from the start page', async () => {
    expect((await world.send('GET', '/', undefined, { token: null })).body).toMatchObject({
      links: { openapi: '/openapi.json' },
    });
  });

  it('lists every limit', async () => {
    expect(await world.must('GET', '/v1/limits')).toMatchObject({ wallMs: { default: 30_000, unit: 'ms' } });
  });
});

describe('a mounted face', () => {
  it('has parsers and errors of its own', async () => {
    const echo = await world.send('POST', '/api/echo', 'a=b', {
      token: null,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    expect(echo.body).toEqual({ got: 'a=b' });
    const failed = await world.send('GET', '/api/fails', undefined, { token: null });
    expect([failed.status, failed.body]).toEqual([418, { message: 'Error: its own shape' }]);
    expect((await world.send('GET', '/api/nowhere', undefined, { token: null })).status).toBe(404);
  });
});

describe('a connection', () => {
  it('goes on after answers that needed the whole body, and ends after those that did not', async () => {
    const post = (length: number, sent: string) =>
      `POST /v1/tenants HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${world.operator}\r\n` +
      `content-type: application/json\r\ncontent-length: ${length}\r\n\r\n${sent}`;
    const answer = await world.exchange(`${post(2, '{}')}${post(2, '[]')}${post(9_999_999, '{')}`);
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400', 'HTTP/1.1 400', 'HTTP/1.1 413']);
  });
});

/** Sends a path as it is: `fetch` would resolve its dots. */
function rawStatus(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { port: world.port, host: '127.0.0.1', path, headers: { authorization: `Bearer ${world.operator}` } },
      (response) => {
        response.resume();
        resolve(response.statusCode!);
      },
    );
    request.once('error', reject).end();
  });
}
