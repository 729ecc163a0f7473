import { exportJWK, generateKeyPair } from 'jose';
import { beforeEach, describe, expect, it } from 'vitest';
import { rotatePlatformKey } from './platform-keys.ts';
import { ownTokenId } from './revocation-list.ts';
import {
  acme,
  type AuthFixture,
  authFixture,
  errorOf,
  expectRefused,
  other,
  secretOf,
  sign,
  START,
  START_MS,
} from './testing/auth-fixture.ts';

let auth: AuthFixture;

beforeEach(async () => {
  auth = await authFixture();
});

const scopesOf = async (token: string, tenant: typeof acme | null): Promise<string[]> => [
  ...(await auth.verifier.verify(token, tenant)).scopes,
];

describe('the platform’s own tokens', () => {
  it('of the operator are for everything, and never end unless they say so', async () => {
    const { token, jti } = await auth.issuer.issue({ scopes: ['operator'], tenant: null });
    expect(await auth.verifier.verify(token, null)).toMatchObject({
      tenant: null,
      fn: null,
      tokenId: jti,
      expiresAt: null,
    });
    expect(await scopesOf(token, acme)).toEqual(['operator']);
  });

  it('of a tenant carry its rights and no others, whatever scope they claim', async () => {
    const { token } = await auth.issuer.issue({
      scopes: ['manage', 'run'],
      tenant: acme,
      expiresInSeconds: 60,
    });
    const principal = await auth.verifier.verify(token, acme);
    expect(principal).toMatchObject({ tenant: acme, fn: null, expiresAt: (START + 60) * 1_000 });
    expect((await auth.verifier.verify(token, other)).tenant).toBe(acme);
    const kid = auth.keys.platform[0]!.id;
    const claimed = await sign(
      secretOf(auth, kid),
      { iss: 'berth', ten: acme, scope: 'operator run' },
      { kid },
    );
    expect(await scopesOf(claimed, acme)).toEqual(['run']);
  });

  it('for one function name it', async () => {
    const { token } = await auth.issuer.issue({ scopes: ['run'], tenant: acme, fn: 'hello' });
    expect(await auth.verifier.verify(token, acme)).toMatchObject({ fn: 'hello' });
  });

  it('of webtasks run that one function and manage nothing', async () => {
    const kid = auth.keys.platform[0]!.id;
    const url = 'webtask://localhost/api/data/code/acme%2Fwt1';
    const cases: [Record<string, unknown>, { fn: string; scopes: string[] }][] = [
      [
        { jtn: 'wt1', url },
        { fn: 'wt1', scopes: ['run'] },
      ],
      [{ url }, { fn: 'wt1', scopes: ['run'] }],
      [
        { url, scope: 'manage run operator' },
        { fn: 'wt1', scopes: ['run'] },
      ],
      [
        { url, scope: '' },
        { fn: 'wt1', scopes: [] },
      ],
      [{ url: 'webtask://localhost/api/data/code/other%2Fwt1' }, { fn: '', scopes: ['run'] }],
      [{ url: 'webtask://localhost/api/data/code/%ff' }, { fn: '', scopes: ['run'] }],
      [{ url: 7 }, { fn: '', scopes: ['run'] }],
    ];
    for (const [claims, expected] of cases) {
      const token = await sign(secretOf(auth, kid), { iss: 'berth', ten: acme, ...claims }, { kid });
      const { fn, scopes } = await auth.verifier.verify(token, acme);
      expect({ fn, scopes: [...scopes] }).toEqual(expected);
    }
  });

  it('need our issuer, a known tenant, and one tenant or the operator’s scope', async () => {
    const kid = auth.keys.platform[0]!.id;
    const issued = (claims: Record<string, unknown>) =>
      sign(secretOf(auth, kid), { iss: 'berth', ten: acme, scope: 'run', ...claims }, { kid });
    await auth.verifier.verify(await issued({}), acme);
    await expectRefused(async () => auth.verifier.verify(await issued({ iss: undefined }), acme), /issuer/);
    await expectRefused(async () => auth.verifier.verify(await issued({ iss: 'acme' }), acme), /issuer/);
    await expectRefused(async () => auth.verifier.verify(await issued({ aud: 'x' }), acme), /audience/);
    await expectRefused(
      async () => auth.verifier.verify(await issued({ ten: undefined }), acme),
      /names no tenant/,
    );
    await expectRefused(async () => auth.verifier.verify(await issued({ ten: 'nobody' }), acme), /not there/);
    for (const ten of ['/^.*$/', 'acme,other', 'ACME', ''])
      await expectRefused(async () => auth.verifier.verify(await issued({ ten }), acme), /no tenant/);
    await expectRefused(async () => auth.verifier.verify(await issued({ ten: ['acme'] }), acme), /no string/);
  });

  it('go on working after a rotation, until their key is revoked', async () => {
    const old = await auth.issuer.issue({ scopes: ['run'], tenant: acme });
    const [first] = auth.keys.platform;
    auth.clock.time += 1_000;
    const id = await rotatePlatformKey({ store: auth.keys, clock: auth.clock });
    auth.ring.refresh(null);
    const fresh = await auth.issuer.issue({ scopes: ['run'], tenant: acme });
    expect(kidOf(old.token)).toBe(first!.id);
    expect(kidOf(fresh.token)).toBe(id);
    await auth.verifier.verify(old.token, acme);
    await auth.verifier.verify(fresh.token, acme);
    await auth.keys.updatePlatformKey(first!.id, { revokedAt: START_MS });
    auth.ring.refresh(null);
    expect(auth.verifier.verifyCached(old.token, acme)).toBeNull();
    await expectRefused(async () => auth.verifier.verify(old.token, acme), /no key/);
    await auth.verifier.verify(fresh.token, acme);
  });

  it('are refused with the token that they descend from', async () => {
    const { token } = await auth.issuer.issue({
      scopes: ['run'],
      tenant: acme,
      claims: { ca: ['parent', 'grand'] },
    });
    await auth.verifier.verify(token, acme);
    auth.revoked.add({ jti: 'grand', expiresAt: null });
    await expectRefused(async () => auth.verifier.verify(token, acme), /revoked/);
  });

  it('of an earlier tenant of the same name are none of the new one’s', async () => {
    const { token } = await auth.issuer.issue({ scopes: ['manage'], tenant: acme });
    await auth.verifier.verify(token, acme);
    auth.keys.tenants.delete(acme);
    auth.ring.refresh(acme);
    await expectRefused(async () => auth.verifier.verify(token, acme), /not there/);
    auth.clock.time += 60_000;
    auth.keys.tenants.set(acme, { tokensValidFrom: 0, createdAt: auth.clock.time });
    auth.ring.refresh(acme);
    await expectRefused(async () => auth.verifier.verify(token, acme), /revoked with all/);
    const fresh = await auth.issuer.issue({ scopes: ['manage'], tenant: acme });
    await auth.verifier.verify(fresh.token, acme);
  });
});

describe('tokens of a tenant’s own keys', () => {
  it('may run by default, may manage, and are never the operator’s', async () => {
    const secret = secretOf(auth, 'acme-hs256');
    expect(await scopesOf(await sign(secret), acme)).toEqual(['run']);
    expect(await scopesOf(await sign(secret, { scope: 'manage run' }), acme)).toEqual(['manage', 'run']);
    expect(await scopesOf(await sign(secret, { scope: 'operator' }), acme)).toEqual([]);
    expect(await scopesOf(await sign(secret, { scope: 'openid profile' }), acme)).toEqual([]);
    await expectRefused(
      async () => auth.verifier.verify(await sign(secret, { scope: ['run'] }), acme),
      /no string/,
    );
    expect((await auth.verifier.verify(await sign(secret, { jtn: 'f', ten: acme }), acme)).fn).toBe('f');
    expect((await auth.verifier.verify(await sign(secret, { jtnm: ['f'] }), acme)).fn).toBe('f');
    for (const jtnm of [[], ['f', 'g'], 'f', [1]])
      await expectRefused(async () => auth.verifier.verify(await sign(secret, { jtnm }), acme), /one name/);
  });

  it('are found by key id, or by trying each key of the kind', async () => {
    const second = {
      kind: 'hs256',
      id: 'second',
      tenant: acme,
      secret: Buffer.alloc(48, 5),
      createdAt: 9,
      revokedAt: null,
    } as const;
    auth.keys.keys.push(second);
    auth.ring.refresh(acme);
    for (const id of ['acme-hs256', 'second']) {
      await auth.verifier.verify(await sign(secretOf(auth, id), {}, { kid: id }), acme);
      await auth.verifier.verify(await sign(secretOf(auth, id)), acme);
    }
    await expectRefused(
      async () => auth.verifier.verify(await sign(second.secret, {}, { kid: 'acme-hs256' }), acme),
      /no key/,
    );
  });

  it('are refused at once when their key is revoked, cached or not', async () => {
    const token = await sign(secretOf(auth, 'acme-hs256'));
    await auth.verifier.verify(token, acme);
    const index = auth.keys.keys.findIndex(({ id }) => id === 'acme-hs256');
    auth.keys.keys[index] = { ...auth.keys.keys[index]!, revokedAt: START_MS };
    auth.ring.refresh(acme);
    expect(auth.verifier.verifyCached(token, acme)).toBeNull();
    await expectRefused(async () => auth.verifier.verify(token, acme), /no key/);
  });

  it('from before tokensValidFrom are refused, cached or not', async () => {
    const token = await sign(secretOf(auth, 'acme-hs256'));
    const ageless = await sign(secretOf(auth, 'acme-hs256'), { iat: undefined });
    await auth.verifier.verify(token, acme);
    await auth.verifier.verify(ageless, acme);
    auth.keys.tenants.set(acme, { tokensValidFrom: START_MS + 1_000, createdAt: 0 });
    auth.ring.refresh(acme);
    await expectRefused(async () => auth.verifier.verify(token, acme), /revoked with all/);
    await expectRefused(async () => auth.verifier.verify(ageless, acme), /when it was issued/);
    auth.clock.time += 1_000;
    await auth.verifier.verify(await sign(secretOf(auth, 'acme-hs256'), { iat: START + 1 }), acme);
  });

  it('are revoked under an id of their tenant, so that equal ids of others are not', async () => {
    const mine = await sign(secretOf(auth, 'acme-hs256'), { jti: '1' });
    const theirs = await sign(secretOf(auth, 'other-hs256'), { jti: '1' });
    auth.revoked.add({ jti: ownTokenId(acme, '1'), expiresAt: null });
    await expectRefused(async () => auth.verifier.verify(mine, acme), /revoked/);
    await auth.verifier.verify(theirs, other);
  });

  it('may be signed by each algorithm of a key set', async () => {
    const url = 'https://idp.example/keys';
    const jwks = [];
    const tokens = [];
    for (const alg of ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA']) {
      const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
      jwks.push({ ...(await exportJWK(publicKey)), kid: alg });
      tokens.push(await sign(privateKey, { aud: 'acme' }, { alg, kid: alg }));
      tokens.push(await sign(privateKey, { aud: 'acme' }, { alg }));
    }
    auth.keySets.set(url, { keys: jwks });
    auth.keys.keys.push({ kind: 'jwks', id: 'idp', tenant: acme, url, createdAt: 2, revokedAt: null });
    for (const token of tokens) expect(await scopesOf(token, acme)).toEqual(['run']);
    expect(auth.fetched).toEqual([url]);
    // What a key set proved is believed no longer than the set.
    auth.clock.time += 60_000;
    expect(auth.verifier.verifyCached(tokens[0]!, acme)).toBeNull();
  });
});

describe('verified tokens', () => {
  it('are remembered for their tenant only, and given at once', async () => {
    const token = await sign(secretOf(auth, 'acme-hs256'));
    expect(auth.verifier.verifyCached(token, acme)).toBeNull();
    const principal = await auth.verifier.verify(token, acme);
    expect(auth.verifier.verifyCached(token, acme)).toBe(principal);
    expect(auth.verifier.verifyCached(token, other)).toBeNull();
    expect(auth.verifier.verifyCached(token, null)).toBeNull();
  });

  it('cannot be changed by who gets them', async () => {
    const principal = await auth.verifier.verify(
      await sign(secretOf(auth, 'acme-hs256'), { deep: { a: [1] } }),
      acme,
    );
    expect(() => Object.assign(principal.claims['deep'] as object, { b: 1 })).toThrow(TypeError);
    expect(() => Object.assign(principal, { tenant: other })).toThrow(TypeError);
  });

  it('are bounded: the least recently used go', async () => {
    auth = await authFixture({ maxCached: 2 });
    const secret = secretOf(auth, 'acme-hs256');
    const [a, b, c] = [
      await sign(secret, { n: 1 }),
      await sign(secret, { n: 2 }),
      await sign(secret, { n: 3 }),
    ];
    await auth.verifier.verify(a, acme);
    await auth.verifier.verify(b, acme);
    auth.verifier.verifyCached(a, acme);
    await auth.verifier.verify(c, acme);
    const left = [a, b, c].map((token) => auth.verifier.verifyCached(token, acme) !== null);
    expect(left).toEqual([true, false, true]);
  });

  it('make room where all of them are in use', async () => {
    auth = await authFixture({ maxCached: 2 });
    const secret = secretOf(auth, 'acme-hs256');
    const tokens = await Promise.all([1, 2, 3].map((n) => sign(secret, { n })));
    for (const token of tokens) {
      await auth.verifier.verify(token, acme);
      auth.verifier.verifyCached(token, acme);
    }
    const left = tokens.map((token) => auth.verifier.verifyCached(token, acme) !== null);
    expect(left).toEqual([false, true, true]);
  });

  it('are not accepted when the key goes while one is being verified', async () => {
    const token = await sign(secretOf(auth, 'acme-hs256'));
    const verifying = auth.verifier.verify(token, acme);
    auth.keys.keys.length = 0;
    auth.ring.refresh(acme);
    await expectRefused(() => verifying, /no key/);
  });

  it('are not refused as bad when the keys cannot be loaded', async () => {
    const failing = new Error('disk');
    auth.ring.refresh(acme);
    auth.keys.getTenant = () => Promise.reject(failing);
    await expect(auth.verifier.verify(await sign(secretOf(auth, 'acme-hs256')), acme)).rejects.toBe(failing);
  });
});

describe('issued tokens', () => {
  it('have exactly alg and kid in the header, and the claims that clients read', async () => {
    const { token, jti } = await auth.issuer.issue({
      scopes: ['run'],
      tenant: acme,
      fn: 'wt1',
      notBefore: START - 5,
      claims: { url: 'webtask://localhost/api/data/code/acme%2Fwt1', pb: 2 },
    });
    const [header, payload] = token.split('.').map((part) => Buffer.from(part, 'base64url').toString());
    expect(JSON.parse(header!)).toEqual({ alg: 'HS256', kid: auth.keys.platform[0]!.id });
    expect(JSON.parse(payload!)).toEqual({
      iss: 'berth',
      iat: START,
      nbf: START - 5,
      jti,
      ten: 'acme',
      jtn: 'wt1',
      scope: 'run',
      url: 'webtask://localhost/api/data/code/acme%2Fwt1',
      pb: 2,
    });
    expect(jti).toMatch(/^[0-9a-f]{32}$/);
  });

  it('are not made when they could not be verified, or claim what only the issuer may', async () => {
    const ask = { scopes: ['run'], tenant: acme } as const;
    const bad = [
      { ...ask, claims: { ten: 'other' } },
      { ...ask, claims: { scope: 'operator' } },
      { ...ask, claims: { exp: 1 } },
      { ...ask, claims: { pctx: { a: 'x'.repeat(9_000) } } },
      { ...ask, claims: { deep: JSON.parse(`${'['.repeat(20)}${']'.repeat(20)}`) as unknown } },
      { ...ask, expiresInSeconds: 1.5 },
      { ...ask, expiresInSeconds: -1 },
      { scopes: ['operator'], tenant: acme } as const,
      { scopes: ['manage'], tenant: null } as const,
    ];
    for (const request of bad) expect((await errorOf(auth.issuer.issue(request))).code).toBe('BAD_REQUEST');
  });
});

function kidOf(token: string): unknown {
  return (JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()) as { kid: unknown }).kid;
}
