import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { functionNameSchema, tenantIdSchema } from '../contracts/ids.ts';
import { peekClaims } from '../invoke/caller-token.ts';
import { startTestFace, type TestFace } from './testing/test-face.ts';

const CODE = 'module.exports = (cb) => cb(null, 1);';
const acme = tenantIdSchema.parse('acme');
let face: TestFace;

beforeEach(async () => {
  face = await startTestFace();
});
afterEach(() => face.close());

function send(
  method: string,
  path: string,
  options: { token?: string | null; body?: unknown } = {},
): Promise<Response> {
  const { token = face.manager, body } = options;
  return fetch(face.url + path, {
    method,
    redirect: 'manual',
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function issue(claims: Record<string, unknown>, token = face.manager): Promise<string> {
  const response = await send('POST', '/api/tokens/issue', { token, body: { ten: 'acme', ...claims } });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return text;
}

async function inspect(token: string, query = ''): Promise<Record<string, unknown>> {
  const response = await send('GET', `/api/tokens/inspect?token=${token}${query}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Record<string, unknown>;
}

async function failure(
  promise: Promise<Response>,
): Promise<{ status: number; message: string; code: string }> {
  const response = await promise;
  const body = (await response.json()) as {
    statusCode: number;
    error: string;
    message: string;
    code: string;
  };
  expect(body).toEqual({
    statusCode: response.status,
    error: expect.any(String),
    message: expect.any(String),
    code: expect.any(String),
  });
  expect(body.message).not.toBe('');
  return { status: response.status, message: body.message, code: body.code };
}

describe('issuing a named webtask', () => {
  it('answers the token as text, and says where it runs', async () => {
    const response = await send('POST', '/api/tokens/issue', {
      body: { ten: 'acme', jtn: 'hello', code: CODE, dd: 0, dr: 1, mb: 1 },
    });
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/);
    expect(response.headers.get('location')).toBe(`${face.url}/api/run/acme/hello`);
    const claims = peekClaims(await response.text());
    expect(claims).toMatchObject({
      ten: 'acme',
      jtn: 'hello',
      url: 'webtask://localhost/api/data/code/acme%2Fhello',
      pb: 2,
      mb: 1,
      dd: 0,
      dr: 1,
      ca: [expect.any(String)],
    });
    expect(claims).not.toHaveProperty('code');
    expect(claims).not.toHaveProperty('ectx');
  });

  it('gives the very same token back on reading', async () => {
    const token = await issue({ jtn: 'hello', code: CODE });
    const read = (await (await send('GET', '/api/webtask/acme/hello')).json()) as Record<string, unknown>;
    expect(read).toEqual({
      container: 'acme',
      name: 'hello',
      token,
      meta: {},
      webtask_url: `${face.url}/api/run/acme/hello`,
    });
  });

  it('keeps secrets out of the token, and gives them to who may decrypt', async () => {
    const token = await issue({
      jtn: 'hello',
      code: CODE,
      ectx: { KEY: 's3cret', n: 5 },
      pctx: { a: 'b' },
      meta: { team: 'x' },
    });
    expect(Buffer.from(token.split('.')[1]!, 'base64url').toString()).not.toContain('s3cret');
    const plain = await inspect(token);
    expect(plain['ectx']).toBe('webtask://localhost/api/data/secrets/acme%2Fhello');
    expect(plain).not.toHaveProperty('meta');
    expect(plain).not.toHaveProperty('code');
    const whole = await inspect(token, '&decrypt=true&fetch_code=true&meta=1');
    expect(whole).toMatchObject({
      ectx: { KEY: 's3cret', n: '5' },
      secrets: { KEY: 's3cret', n: '5' },
      pctx: { a: 'b' },
      meta: { team: 'x' },
      code: CODE,
      webtask_url: `${face.url}/api/run/acme/hello`,
    });
    const read = await (await send('GET', '/api/webtask/acme/hello?decrypt=true&fetch_code=true')).json();
    expect(read).toMatchObject({ secrets: { KEY: 's3cret', n: '5' }, code: CODE });
  });

  it('keeps the stored code when it is issued again without code', async () => {
    await issue({ jtn: 'hello', code: CODE, meta: { a: '1' } });
    const again = await issue({ jtn: 'hello', meta: { a: '2' }, unknown: 'claim' });
    expect(await inspect(again, '&fetch_code=true&meta=1')).toMatchObject({ code: CODE, meta: { a: '2' } });
  });

  it('keeps code and secrets when inspected claims come back as they are', async () => {
    const token = await issue({ jtn: 'hello', code: CODE, ectx: { KEY: 'v' } });
    const again = await issue(await inspect(token, '&meta=1'));
    expect(again).not.toBe(token);
    expect(await inspect(again, '&fetch_code=true&decrypt=true')).toMatchObject({
      code: CODE,
      ectx: { KEY: 'v' },
    });
  });

  it('drops secrets and metadata that a new issue leaves out', async () => {
    await issue({ jtn: 'hello', code: CODE, ectx: { KEY: 'v' }, meta: { a: '1' } });
    const claims = await inspect(await issue({ jtn: 'hello', code: CODE }), '&decrypt=true&meta=1');
    expect(claims).not.toHaveProperty('ectx');
    expect(claims['meta']).toEqual({});
  });

  it('takes numbers as texts, and passes times on', async () => {
    const now = Math.floor(face.clock.now() / 1_000);
    const claims = peekClaims(
      await issue({ jtn: 'a', code: CODE, pb: '1', exp: String(now + 60), nbf: `${now}`, ls: '10' }),
    );
    expect(claims).toMatchObject({ pb: 1, exp: now + 60, nbf: now, ls: 10 });
  });

  it('copies code and secrets of another webtask of the container by reference', async () => {
    const claims = await inspect(await issue({ jtn: 'one', code: CODE, ectx: { KEY: 'v' } }));
    const copy = await issue({ jtn: 'two', url: claims['url'], ectx: claims['ectx'] });
    expect(await inspect(copy, '&fetch_code=true&decrypt=true')).toMatchObject({
      jtn: 'two',
      code: CODE,
      ectx: { KEY: 'v' },
    });
  });

  it('takes empty code, and gives it back', async () => {
    expect(await inspect(await issue({ jtn: 'empty', code: '' }), '&fetch_code=true')).toMatchObject({
      code: '',
    });
  });

  it('tries code that is no JavaScript as TypeScript', async () => {
    await issue({ jtn: 'typed', code: 'in javascript a syntax error' });
  });

  it('is refused for what it cannot do', async () => {
    const call = (body: unknown) => failure(send('POST', '/api/tokens/issue', { body }));
    expect(await call({ ten: 'acme', jtn: 'none' })).toMatchObject({ status: 404, code: 'NOT_FOUND' });
    expect(await call({ ten: 'acme', jtn: 'wt~mine', code: CODE })).toMatchObject({
      status: 400,
      code: 'NAME_INVALID',
    });
    expect(await call({ ten: 'acme', jtn: 'a/b', code: CODE })).toMatchObject({
      status: 400,
      code: 'NAME_INVALID',
    });
    expect(await call({ ten: 'acme', jtn: 'a', url: 'https://example.com/x.js' })).toMatchObject({
      status: 400,
      message: expect.stringContaining('URL'),
    });
    expect(await call({ ten: 'acme', jtn: 'a', code: CODE, host: 'x.example' })).toMatchObject({
      status: 400,
    });
    expect(await call({ ten: 'acme', jtn: 'a', code: CODE, ectx: 'b64.b64' })).toMatchObject({ status: 400 });
    expect(await call({ ten: 'acme', jtn: 'a', code: CODE, exp: 5 })).toMatchObject({ status: 400 });
    expect(await call({ ten: '/^foo[0-9]$/', jtn: 'a', code: CODE })).toMatchObject({ status: 400 });
    expect(await call({ ten: 'acme', jtn: 'a', code: 5 })).toMatchObject({
      status: 400,
      message: expect.stringContaining('code'),
    });
    expect(face.control.functions.size).toBe(0);
  });
});

describe('containers', () => {
  it('come into being with the first webtask of the operator', async () => {
    await issue({ ten: 'new-one', jtn: 'hello', code: CODE }, face.operator);
    expect(face.control.tenants.has('new-one')).toBe(true);
  });

  it('are not made by anybody else, and not reached by tokens of others', async () => {
    const other = await face.tokens.issue({ scopes: ['manage'], tenant: tenantIdSchema.parse('other') });
    const options = { token: other.token };
    expect(
      await failure(
        send('POST', '/api/tokens/issue', { ...options, body: { ten: 'other', jtn: 'a', code: CODE } }),
      ),
    ).toMatchObject({ status: 404 });
    await issue({ jtn: 'hello', code: CODE });
    for (const [method, path] of [
      ['GET', '/api/webtask/acme'],
      ['GET', '/api/webtask/acme/hello'],
      ['DELETE', '/api/webtask/acme/hello'],
      ['GET', '/api/logs/tenant/acme'],
    ] as const)
      expect(await failure(send(method, path, options)), path).toMatchObject({ status: 404 });
    expect(
      await failure(
        send('POST', '/api/tokens/issue', { ...options, body: { ten: 'acme', jtn: 'hello', code: CODE } }),
      ),
    ).toMatchObject({ status: 404 });
  });

  it('need a token that manages', async () => {
    const token = await issue({ jtn: 'hello', code: CODE });
    expect(await failure(send('GET', '/api/webtask/acme', { token }))).toMatchObject({ status: 403 });
    expect(await failure(send('GET', `/api/tokens/inspect?token=${token}`, { token }))).toMatchObject({
      status: 403,
    });
    expect(await failure(send('GET', '/api/webtask/acme', { token: null }))).toMatchObject({
      status: 401,
      code: 'TOKEN_MISSING',
    });
    expect(await failure(send('GET', '/api/webtask/acme', { token: `${token}x` }))).toMatchObject({
      status: 401,
      code: 'TOKEN_INVALID',
    });
  });
});

describe('tokens that manage', () => {
  it('are issued without code, never with more rights or a longer life than their origin', async () => {
    const parent = await face.tokens.issue({
      scopes: ['manage'],
      tenant: acme,
      expiresInSeconds: 100,
      claims: { dd: 2 },
    });
    const child = await issue({ dd: 9 }, parent.token);
    expect(peekClaims(child)).toMatchObject({ dd: 1, exp: 1_100, ca: [parent.jti] });
    const grandchild = await issue({ dd: 9 }, child);
    expect(peekClaims(grandchild)).toMatchObject({ dd: 0, exp: 1_100 });
    expect(
      await failure(
        send('POST', '/api/tokens/issue', { token: grandchild, body: { ten: 'acme', jtn: 'a', code: CODE } }),
      ),
    ).toMatchObject({
      status: 403,
      message: expect.stringContaining('cannot be used to issue new webtask tokens'),
    });
  });

  it('may be for one name only', async () => {
    const token = await issue({ jtnm: ['one'], dd: 1 });
    await issue({ jtn: 'one', code: CODE }, token);
    await issue({ jtn: 'two', code: CODE });
    const body = { ten: 'acme', jtn: 'two', code: CODE };
    expect(await failure(send('POST', '/api/tokens/issue', { token, body }))).toMatchObject({ status: 403 });
    expect(await failure(send('GET', '/api/webtask/acme/two', { token }))).toMatchObject({ status: 403 });
    const list = (await (await send('GET', '/api/webtask/acme', { token })).json()) as { name: string }[];
    expect(list.map(({ name }) => name)).toEqual(['one']);
    expect(peekClaims(await issue({}, await issue({ jtnm: ['one'], dd: 2 })))).toMatchObject({ jtn: 'one' });
    expect(
      await failure(send('POST', '/api/tokens/issue', { body: { ten: 'acme', jtnm: ['a', 'b'] } })),
    ).toMatchObject({ status: 400 });
  });
});

describe('the list', () => {
  it('is a bare array, filtered by metadata, in pages, without unnamed and foreign functions', async () => {
    for (const name of ['a', 'b', 'c'])
      await issue({ jtn: name, code: CODE, meta: { kind: name === 'b' ? 'y' : 'x', all: '1:2' } });
    await issue({ code: CODE });
    await face.control.deploy({
      tenant: acme,
      fn: functionNameSchema.parse('native'),
      source: Buffer.from(CODE),
      settings: {},
    });
    const names = async (query: string): Promise<string[]> =>
      ((await (await send('GET', `/api/webtask/acme${query}`)).json()) as { name: string }[]).map(
        ({ name }) => name,
      );
    expect(await names('')).toEqual(['a', 'b', 'c']);
    expect(await names('?offset=1&limit=1')).toEqual(['b']);
    expect(await names('?meta=kind:x')).toEqual(['a', 'c']);
    expect(await names('?meta=kind:x&meta=all:1:2')).toEqual(['a', 'c']);
    expect(await names('?meta=kind:x&meta=all:3')).toEqual([]);
    expect(await failure(send('GET', '/api/webtask/acme?limit=x'))).toMatchObject({ status: 400 });
  });
});

describe('PUT of a webtask', () => {
  it('makes it, and later keeps what is left out, the token too', async () => {
    const body = { code: CODE, secrets: { KEY: 'v' }, meta: { a: '1' } };
    const made = (await (await send('PUT', '/api/webtask/acme/hello', { body })).json()) as { token: string };
    expect(made).toMatchObject({
      container: 'acme',
      name: 'hello',
      meta: { a: '1' },
      webtask_url: `${face.url}/api/run/acme/hello`,
    });
    const changed = await (
      await send('PUT', '/api/webtask/acme/hello', { body: { code: `${CODE}//2` } })
    ).json();
    expect(changed).toEqual(made);
    const read = await (await send('GET', '/api/webtask/acme/hello?decrypt=true&fetch_code=true')).json();
    expect(read).toMatchObject({
      token: made.token,
      secrets: { KEY: 'v' },
      meta: { a: '1' },
      code: `${CODE}//2`,
    });
  });

  it('changes settings without code, but makes nothing without code', async () => {
    await issue({ jtn: 'hello', code: CODE });
    await send('PUT', '/api/webtask/acme/hello', { body: { meta: { b: '2' } } });
    expect(await (await send('GET', '/api/webtask/acme/hello?fetch_code=true')).json()).toMatchObject({
      meta: { b: '2' },
      code: CODE,
    });
    expect(await failure(send('PUT', '/api/webtask/acme/none', { body: { meta: {} } }))).toMatchObject({
      status: 404,
    });
  });
});

describe('DELETE of a webtask', () => {
  it('removes it, once', async () => {
    await issue({ jtn: 'hello', code: CODE });
    expect((await send('DELETE', '/api/webtask/acme/hello')).status).toBe(204);
    expect(await failure(send('DELETE', '/api/webtask/acme/hello'))).toMatchObject({ status: 404 });
  });

  it('does not touch functions that were deployed by other ways', async () => {
    await face.control.deploy({
      tenant: acme,
      fn: functionNameSchema.parse('native'),
      source: Buffer.from(CODE),
      settings: {},
    });
    expect(await failure(send('DELETE', '/api/webtask/acme/native'))).toMatchObject({ status: 404 });
  });
});

describe('the API', () => {
  it('answers what it does not know in its own shape', async () => {
    expect(await failure(send('GET', '/api/description'))).toMatchObject({ status: 404 });
    expect(await failure(send('POST', '/api/tokens/issue', { body: 'not an object' }))).toMatchObject({
      status: 400,
    });
    const broken = fetch(`${face.url}/api/tokens/issue`, {
      method: 'POST',
      headers: { authorization: `Bearer ${face.manager}` },
      body: '{',
    });
    expect(await failure(broken)).toMatchObject({ status: 400, code: 'BAD_REQUEST' });
  });

  it('tells the operator, not the caller, what broke inside', async () => {
    face.control.getFunction = () => Promise.reject(new Error('disk on fire at /somewhere'));
    const { status, message } = await failure(send('GET', '/api/webtask/acme/hello'));
    expect(status).toBe(500);
    expect(message).not.toContain('somewhere');
    expect(face.reported[0]?.cause).toMatchObject({ message: 'disk on fire at /somewhere' });
  });

  it('makes nothing of a body that holds more values than a call needs', async () => {
    const issuing = send('POST', '/api/tokens/issue', { body: Array(200_001).fill(0) });
    expect((await failure(issuing)).message).toContain('webtaskJsonValues');
  });

  it('reads no body before it knows the token', async () => {
    const response = await fetch(`${face.url}/api/tokens/issue`, { method: 'POST', body: '{' });
    expect(response.status).toBe(401);
  });
});
