/** Hostile code, cases 34-36: tokens that are forged, foreign, stale or bombs, and tokens used where they are none of one's business. */
import { createHmac, randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { deflateRawSync } from 'node:zlib';
import { CompactEncrypt, type CryptoKey, exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Problem } from '../support/platform.ts';
import { freePort } from '../support/platform.ts';
import { Arena } from './arena.ts';

const jwksPort = await freePort();
const arena = Arena.prepare({}, { BERTH_JWKS_ALLOW: `127.0.0.1:${jwksPort}` });

type Claims = Record<string, unknown>;
const seconds = (): number => Math.floor(Date.now() / 1_000);
const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const forge = (...parts: readonly unknown[]): string =>
  parts.map((part) => (typeof part === 'string' ? part : encoded(part))).join('.');

let secret: Buffer;
let attackerSecret: Buffer;
let encryption: Buffer;
let keyPair: { publicKey: CryptoKey; privateKey: CryptoKey };
let keySet: Server;
let keySetFetches = 0;

/** By hand: with headers and claims that no library would take. */
function signed(key: Buffer | string, claims: Claims = {}, header: Claims = {}): string {
  const text = forge({ alg: 'HS256', ...header }, { iat: seconds(), exp: seconds() + 300, ...claims });
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`;
}

const addKey = async (tenant: string, body: object): Promise<Buffer> => {
  const key = await arena.platform.must<{ secret?: string }>('POST', `/v1/tenants/${tenant}/keys`, body);
  return Buffer.from(key.secret ?? '', 'base64url');
};

beforeAll(async () => {
  keyPair = await generateKeyPair('RS256', { extractable: true });
  const keys = JSON.stringify({
    keys: [{ ...(await exportJWK(keyPair.publicKey)), kid: 'rsa', alg: 'RS256' }],
  });
  keySet = createServer((_request, response) => {
    keySetFetches++;
    response.setHeader('content-type', 'application/json').end(keys);
  }).listen(jwksPort, '127.0.0.1');
  secret = await addKey('victim', { kind: 'hs256', id: 'v1' });
  encryption = await addKey('victim', { kind: 'jwe', id: 've' });
  attackerSecret = await addKey('attacker', { kind: 'hs256', id: 'a1' });
  await addKey('victim', { kind: 'jwks', id: 'idp', url: `http://127.0.0.1:${jwksPort}/jwks` });
  await arena.platform.deploy(
    'victim',
    'private',
    'let calls = 0; module.exports = (cb) => cb(null, { calls: ++calls });',
    { access: 'token' },
  );
  await calls();
  arena.residents = 2;
});
afterAll(() => keySet.close());

/** How often the private function has run, this call included. */
async function calls(): Promise<number> {
  const authorization = `Bearer ${signed(secret, {}, { kid: 'v1' })}`;
  const response = await arena.platform.call('victim', 'private', { headers: { authorization } });
  expect(response.status).toBe(200);
  return ((await response.json()) as { calls: number }).calls;
}

/** Neither the function nor the API takes it, and no tenant code has run. */
async function expectRefused(token: string, statuses: readonly number[] = [401, 403]): Promise<void> {
  const before = await calls();
  const headers = { authorization: `Bearer ${token}` };
  const started = performance.now();
  const run = await arena.platform.call('victim', 'private', { headers });
  expect(performance.now() - started).toBeLessThan(5_000);
  expect(statuses).toContain(run.status);
  expect(['TOKEN_INVALID', 'FORBIDDEN']).toContain(((await run.json()) as Problem).code);
  for (const path of ['/v1/tenants/victim/functions', '/v1/tenants'])
    expect([401, 403, 404], path).toContain((await arena.platform.api('GET', path, undefined, token)).status);
  expect([401, 403, 404]).toContain(
    (await arena.platform.api('GET', '/api/webtask/victim', undefined, token)).status,
  );
  expect(await calls()).toBe(before + 1);
}

describe('34: tokens that are not good', () => {
  it('control: a good one of each kind runs the function', async () => {
    const before = await calls();
    const rsa = new SignJWT({ aud: 'berth' })
      .setProtectedHeader({ alg: 'RS256', kid: 'rsa' })
      .setExpirationTime('5m');
    const jwe = new CompactEncrypt(Buffer.from(JSON.stringify({ exp: seconds() + 300 })))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid: 've' })
      .encrypt(encryption);
    for (const token of [await rsa.sign(keyPair.privateKey), await jwe]) {
      const headers = { authorization: `Bearer ${token}` };
      expect((await arena.platform.call('victim', 'private', { headers })).status).toBe(200);
    }
    expect(await calls()).toBe(before + 3);
  });

  it.each([
    ['alg none', () => forge({ alg: 'none' }, { exp: seconds() + 300 }, '')],
    ['alg NONE with a signature', () => forge({ alg: 'NONE' }, { exp: seconds() + 300 }, 'AAAA')],
    ['no signature', () => `${signed(secret).split('.').slice(0, 2).join('.')}.`],
    ['another key', () => signed(randomBytes(32), {}, { kid: 'v1' })],
    ['an empty key', () => signed('', {}, { kid: 'v1' })],
    ['HS512 under an HS256 key', () => signed(secret, {}, { alg: 'HS512' })],
    [
      'an unknown crit',
      () => signed(secret, {}, { crit: ['https://evil.test/x'], 'https://evil.test/x': 1 }),
    ],
    ['crit b64', () => signed(secret, {}, { crit: ['b64'], b64: false })],
    ['a kid that is a path', () => signed('', {}, { kid: '../../../../dev/null' })],
    ['a kid that is SQL', () => signed(randomBytes(32), {}, { kid: "v1' or '1'='1" })],
    ['a kid of the prototype', () => signed(randomBytes(32), {}, { kid: '__proto__' })],
    ['a jku of the attacker’s', () => signed(secret, {}, { jku: `http://127.0.0.1:${jwksPort}/evil` })],
    [
      'a jwk of its own',
      () => signed('k', {}, { jwk: { kty: 'oct', k: Buffer.from('k').toString('base64url') } }),
    ],
    ['expired', () => signed(secret, { exp: seconds() - 1 })],
    ['not valid yet', () => signed(secret, { nbf: seconds() + 60 })],
    ['issued in the future', () => signed(secret, { iat: seconds() + 60 })],
    ['an end that is text', () => signed(secret, { exp: '9999999999' })],
    ['another audience', () => signed(secret, { aud: 'https://other.test' })],
    ['another issuer', () => signed(secret, { iss: 'https://other.test' })],
    ['the platform’s issuer', () => signed(secret, { iss: 'berth', scope: 'operator' })],
    ['another tenant’s key', () => signed(attackerSecret, {}, { kid: 'a1' })],
    [
      'another tenant’s key under this one’s id',
      () => signed(attackerSecret, { ten: 'victim' }, { kid: 'v1' }),
    ],
    ['another tenant’s name', () => signed(secret, { ten: 'attacker' }, { kid: 'v1' })],
    ['a line feed behind it', () => `${signed(secret)}%0a`],
    ['8 kB of claims', () => signed(secret, { pad: 'x'.repeat(9_000) })],
  ])('%s', async (_name, make) => {
    await expectRefused(make());
  });

  it('HS256 with the public key of the key set', async () => {
    const spki = await exportSPKI(keyPair.publicKey);
    const jwk = JSON.stringify(await exportJWK(keyPair.publicKey));
    for (const key of [spki, spki.trim(), jwk])
      for (const kid of ['rsa', 'idp']) await expectRefused(signed(key, { aud: 'berth' }, { kid }), [401]);
  });

  it('a key set is asked once, however many unknown key ids are tried', async () => {
    const before = keySetFetches;
    for (let attempt = 0; attempt < 30; attempt++) {
      const header = { alg: 'RS256', kid: `unknown-${attempt}` };
      await arena.platform.call('victim', 'private', {
        headers: { authorization: `Bearer ${forge(header, { exp: seconds() + 60, aud: 'berth' }, 'AAAA')}` },
      });
    }
    expect(keySetFetches - before).toBeLessThanOrEqual(3);
  });

  it('one of another tenant, and one that was revoked', async () => {
    const foreign = await arena.platform.must<{ token: string }>('POST', '/v1/tenants/attacker/tokens', {
      scopes: ['run', 'manage'],
    });
    await expectRefused(foreign.token);
    const own = await arena.platform.must<{ token: string; jti: string }>(
      'POST',
      '/v1/tenants/victim/tokens',
      {
        scopes: ['run'],
      },
    );
    await arena.platform.must('POST', '/v1/tenants/victim/tokens/revoke', { jti: own.jti });
    await expectRefused(own.token, [401]);
  });
});

describe('35: encrypted tokens that are bombs', () => {
  const header = { alg: 'dir', enc: 'A256GCM' };
  it.each<[string, () => string | Promise<string>]>([
    ['a key of the wrong length', () => forge({ ...header, enc: 'A128GCM' }, '', 'AAAA', 'AAAA', 'AAAA')],
    [
      'a compression bomb',
      () =>
        forge(
          { ...header, zip: 'DEF' },
          '',
          'AAAA',
          deflateRawSync(Buffer.alloc(4_000_000)).toString('base64url'),
          'AAAA',
        ),
    ],
    [
      'two thousand million rounds of PBKDF2',
      () =>
        forge(
          { alg: 'PBES2-HS512+A256KW', enc: 'A256GCM', p2c: 2 ** 31, p2s: 'AAAA' },
          'AAAA',
          'AAAA',
          'AAAA',
          'AAAA',
        ),
    ],
    ['rounds beside a direct key', () => forge({ ...header, p2c: 2 ** 31 }, '', 'AAAA', 'AAAA', 'AAAA')],
    ['a wrapped key', () => forge({ alg: 'RSA-OAEP', enc: 'A256GCM' }, 'AAAA', 'AAAA', 'AAAA', 'AAAA')],
    [
      'an unsigned token inside',
      () => encrypted(forge({ alg: 'none' }, { exp: seconds() + 60 }, ''), { cty: 'JWT' }),
    ],
    [
      'encrypted five times over',
      async () => {
        let token = signed(secret);
        for (let layer = 0; layer < 5; layer++) token = await encrypted(token, { cty: 'JWT' });
        return token;
      },
    ],
    [
      'the key of another tenant',
      () => encrypted(JSON.stringify({ exp: seconds() + 60 }), {}, attackerSecret),
    ],
  ])('%s: refused at once', async (_name, make) => {
    await expectRefused(await make(), [401]);
  });

  function encrypted(plain: string, extra: Claims = {}, key: Buffer = encryption): Promise<string> {
    return new CompactEncrypt(Buffer.from(plain)).setProtectedHeader({ ...header, ...extra }).encrypt(key);
  }
});

describe('36: a token of one tenant on the routes of another', () => {
  interface OpenApi {
    readonly paths: Record<string, Record<string, unknown>>;
  }

  it('every route of the API answers 404, as for a tenant that is not there', async () => {
    const { token } = await arena.platform.must<{ token: string }>('POST', '/v1/tenants/attacker/tokens', {
      scopes: ['manage', 'run'],
    });
    const { items } = await arena.platform.must<{ items: { id: string }[] }>(
      'GET',
      '/v1/tenants/victim/functions/private/revisions',
    );
    const filled: Record<string, string> = {
      fn: 'private',
      revision: items[0]!.id,
      secret: 'KEY',
      key: 'v1',
    };
    const { paths } = await arena.platform.must<OpenApi>('GET', '/openapi.json');
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      path.includes('{tenant}')
        ? Object.keys(methods).map((method) => [method.toUpperCase(), path] as const)
        : [],
    );
    expect(routes.length).toBeGreaterThan(15);
    const at = async (method: string, path: string, tenant: string): Promise<string> => {
      const url = path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
        name === 'tenant' ? tenant : filled[name]!,
      );
      const body =
        method === 'GET' || method === 'DELETE' ? undefined : { source: 'module.exports = 1', value: 'x' };
      const answer = await arena.platform.api(method, url, body, token);
      expect(answer.status, `${method} ${url}`).toBe(404);
      return JSON.stringify(answer.body);
    };
    for (const [method, path] of routes)
      expect((await at(method, path, 'victim')).replaceAll('victim', 'nobody-at-all')).toBe(
        await at(method, path, 'nobody-at-all'),
      );
    expect(await calls()).toBeGreaterThan(0);
  });

  it('so do those of the webtask API', async () => {
    const { token } = await arena.platform.must<{ token: string }>('POST', '/v1/tenants/attacker/tokens', {
      scopes: ['manage', 'run'],
    });
    for (const [method, path] of [
      ['GET', '/api/webtask/victim'],
      ['GET', '/api/webtask/victim/private'],
      ['PUT', '/api/webtask/victim/private'],
      ['DELETE', '/api/webtask/victim/private'],
      ['GET', '/api/logs/tenant/victim'],
    ] as const) {
      const body = method === 'PUT' ? { code: 'module.exports = 1' } : undefined;
      const there = await arena.platform.api(method, path, body, token);
      const nowhere = await arena.platform.api(method, path.replace('victim', 'nobody'), body, token);
      expect(there.status, `${method} ${path}`).toBe(404);
      expect(JSON.stringify(there.body).replaceAll('victim', 'nobody')).toBe(JSON.stringify(nowhere.body));
    }
    expect(await calls()).toBeGreaterThan(0);
  });
});
