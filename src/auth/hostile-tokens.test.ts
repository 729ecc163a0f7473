/** Hostile cases 34 and 35: each is refused as TOKEN_INVALID, in bounded time. */
import { createHmac, randomBytes } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { type CryptoKey, EncryptJWT, exportJWK, exportSPKI, generateKeyPair, UnsecuredJWT } from 'jose';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  acme,
  type AuthFixture,
  authFixture,
  encrypt,
  expectRefused,
  forge,
  other,
  secretOf,
  sign,
  START,
} from './testing/auth-fixture.ts';

const keySetUrl = 'https://idp.example/jwks';

let auth: AuthFixture;
let secret: Uint8Array;
let encryption: Uint8Array;

beforeEach(async () => {
  auth = await authFixture();
  secret = secretOf(auth, 'acme-hs256');
  encryption = secretOf(auth, 'acme-jwe');
});

const verify = (token: string, tenant: typeof acme | null = acme) => auth.verifier.verify(token, tenant);

async function addKeySet(): Promise<{ publicKey: CryptoKey; privateKey: CryptoKey }> {
  const pair = await generateKeyPair('RS256', { extractable: true });
  auth.keySets.set(keySetUrl, { keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'rsa' }] });
  auth.keys.keys.push({
    kind: 'jwks',
    id: 'idp',
    tenant: acme,
    url: keySetUrl,
    createdAt: 2,
    revokedAt: null,
  });
  auth.ring.refresh(acme);
  return pair;
}

describe('a signed token is refused', () => {
  it('control: the same token without an attack is accepted', async () => {
    expect(await verify(await sign(secret))).toMatchObject({ tenant: acme });
  });

  it('when its algorithm is none, in any spelling', async () => {
    await expectRefused(
      async () => verify(new UnsecuredJWT({ exp: START + 60 }).encode()),
      /no JWT|algorithm|signed/,
    );
    for (const alg of ['none', 'None', 'NONE', '', null, ['HS256'], 'HS384', 'HS512', 'RS1'])
      await expectRefused(async () => verify(forge({ alg }, { exp: START + 60 }, 'AAAA')), /algorithm/);
  });

  it('when its signature is missing', async () => {
    const [header, payload] = (await sign(secret)).split('.');
    await expectRefused(async () => verify(`${header}.${payload}.`), /not signed/);
  });

  it('when it is signed by HS256 with the public key of a key set', async () => {
    const { publicKey } = await addKeySet();
    const spki = await exportSPKI(publicKey);
    const jwk = JSON.stringify(await exportJWK(publicKey));
    for (const confused of [spki, spki.trim(), jwk]) {
      for (const header of [{ alg: 'HS256', kid: 'rsa' }, { alg: 'HS256', kid: 'idp' }, { alg: 'HS256' }]) {
        const text = forge(header, { exp: START + 60, aud: 'berth' });
        const signature = createHmac('sha256', confused).update(text).digest('base64url');
        await expectRefused(async () => verify(`${text}.${signature}`), /no key/);
      }
    }
  });

  it('when it has a critical header, known to a library or not', async () => {
    for (const header of [{ crit: ['exp'], exp: 1 }, { crit: [] }, { crit: ['b64'], b64: false }]) {
      const text = forge({ alg: 'HS256', ...header }, { exp: START + 60 });
      const signature = createHmac('sha256', secret).update(text).digest('base64url');
      await expectRefused(async () => verify(`${text}.${signature}`), /"crit"/);
    }
  });

  it('when it brings its own key, or says where to get one', async () => {
    const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
    const jwk = await exportJWK(publicKey);
    await addKeySet();
    for (const extra of [{ jwk }, { jku: keySetUrl }, { x5u: keySetUrl }, { x5c: ['MIIB'] }])
      await expectRefused(
        async () => verify(await sign(privateKey, { aud: 'berth' }, { alg: 'RS256', ...extra })),
        /its header has/,
      );
    expect(auth.fetched).toEqual([]);
  });

  it('when its key id is no id of ours: a path, a query, a prototype, another kind of key', async () => {
    const kids = [
      '../../dev/null',
      "' or 1=1 --",
      '__proto__',
      'constructor',
      'acme-jwe',
      'other-hs256',
      'x'.repeat(256),
    ];
    for (const kid of kids)
      await expectRefused(async () => verify(await sign(secret, {}, { kid })), /no key/);
    for (const kid of [1, {}, '', 'x'.repeat(257)])
      await expectRefused(async () => verify(forge({ alg: 'HS256', kid }, {}, 'AAAA')), /"kid"/);
    // A server that reads the key from the file that `kid` names would have found an empty one.
    await expectRefused(
      async () => verify(await sign(Buffer.alloc(32), {}, { kid: '../../dev/null' })),
      /no key/,
    );
  });

  it('when it has expired, with no tolerance', async () => {
    const token = await sign(secret, { exp: START + 10 });
    expect((await verify(token)).expiresAt).toBe((START + 10) * 1_000);
    auth.clock.time += 9_999;
    await verify(token);
    auth.clock.time += 1;
    await expectRefused(async () => verify(token), /expired/);
    expect(auth.verifier.verifyCached(token, acme)).toBeNull();
  });

  it('when it is not valid yet or comes from the future, beyond five seconds', async () => {
    await verify(await sign(secret, { nbf: START + 5, iat: START + 5 }));
    await expectRefused(async () => verify(await sign(secret, { nbf: START + 6 })), /not valid yet/);
    await expectRefused(async () => verify(await sign(secret, { iat: START + 6 })), /future/);
  });

  it('when its times are no times', async () => {
    for (const name of ['exp', 'nbf', 'iat'])
      for (const value of ['1767225900', -1, 1e300, {}, null, true])
        await expectRefused(
          async () => verify(forged(secret, { exp: START + 60, [name]: value })),
          /no time/,
        );
  });

  it('when a tenant signs it without an end, and it is older than a day or of unknown age', async () => {
    const token = await sign(secret, { exp: undefined });
    expect((await verify(token)).expiresAt).toBe((START + 86_400) * 1_000);
    auth.clock.time += 86_400_000;
    await expectRefused(async () => verify(token), /24 hours/);
    await expectRefused(
      async () => verify(await sign(secret, { exp: undefined, iat: undefined })),
      /neither/,
    );
  });

  it('when it is for another audience or of another issuer', async () => {
    await verify(await sign(secret, { aud: 'berth', iss: 'acme' }));
    await verify(await sign(secret, { aud: ['x', 'acme'] }));
    await expectRefused(async () => verify(await sign(secret, { aud: 'other-service' })), /audience/);
    await expectRefused(async () => verify(await sign(secret, { aud: [] })), /audience/);
    await expectRefused(async () => verify(forged(secret, { exp: START + 60, aud: { berth: 1 } })), /"aud"/);
    await expectRefused(async () => verify(await sign(secret, { iss: 'berth' })), /issuer/);
    await expectRefused(async () => verify(await sign(secret, { iss: 'other' })), /issuer/);
  });

  it('when it comes from a key set without an audience: its issuer signs for others too', async () => {
    const { privateKey } = await addKeySet();
    const header = { alg: 'RS256', kid: 'rsa' };
    await verify(await sign(privateKey, { aud: 'berth', iss: 'https://idp.example/' }, header));
    await expectRefused(
      async () => verify(await sign(privateKey, {}, header)),
      /no audience: its "aud" must be "berth" or "acme"/,
    );
    await expectRefused(
      async () => verify(await sign(privateKey, { aud: 'berth', iss: 'https://evil.example/' }, header)),
      /issuer/,
    );
  });

  it('when another tenant has signed it, whatever it claims', async () => {
    const foreign = secretOf(auth, 'other-hs256');
    await expectRefused(async () => verify(await sign(foreign)), /no key/);
    await expectRefused(
      async () => verify(await sign(foreign, { ten: 'acme' }, { kid: 'acme-hs256' })),
      /no key/,
    );
    await expectRefused(async () => verify(await sign(secret, { ten: 'other' })), /another tenant/);
    await expectRefused(async () => verify(await sign(secret), null), /no key/);
    await expectRefused(async () => verify(await sign(secret, { scope: 'operator' }), null), /no key/);
  });

  it('when it claims the platform’s key id', async () => {
    const kid = auth.keys.platform[0]!.id;
    await expectRefused(
      async () => verify(await sign(secret, { iss: 'berth', scope: 'operator' }, { kid })),
      /no key/,
    );
    // Not even by a tenant that gave its own key that id.
    auth.keys.keys.push({ kind: 'hs256', id: kid, tenant: acme, secret, createdAt: 3, revokedAt: null });
    auth.ring.refresh(acme);
    await expectRefused(
      async () => verify(await sign(secret, { iss: 'berth', scope: 'operator' }, { kid })),
      /no key/,
    );
  });

  it('when it was revoked, at once', async () => {
    const token = await sign(secret, { jti: 'one' });
    await verify(token);
    auth.revoked.add({ jti: 'one', expiresAt: null });
    expect(auth.verifier.verifyCached(token, acme)).toBeNull();
    await expectRefused(async () => verify(token), /revoked/);
  });

  it('when it is larger, deeper or wider than tokens are', async () => {
    await expectRefused(async () => verify(await sign(secret, { pad: 'x'.repeat(8_192) })), /longer than/);
    const deep: unknown = JSON.parse(`${'['.repeat(1_000)}${']'.repeat(1_000)}`);
    await expectRefused(async () => verify(forged(secret, { exp: START + 60, deep })), /too deep/);
    await expectRefused(
      async () => verify(forged(secret, { exp: START + 60, wide: Array.from({ length: 2_000 }, () => 0) })),
      /too/,
    );
    await expectRefused(async () => verify('e'.repeat(100_000_000)), /longer than/);
  });

  it('when its parts are not what they should be', async () => {
    const good = await sign(secret);
    const [header, payload, signature] = good.split('.') as [string, string, string];
    const tokens = [
      '',
      '.',
      '..',
      'a.b.c',
      `${good}.`,
      `${good}.x`,
      ` ${good}`,
      `${good}\n`,
      `${header}.${payload}.${signature}=`,
      `${header}.${payload}.${signature.slice(0, -2)}`,
      `${header}.${payload}x.${signature}`,
      forge([], {}, 'AAAA'),
      forge('bnVsbA', {}, 'AAAA'),
      forged(secret, []),
      forged(secret, 'text'),
    ];
    for (const token of tokens) await expectRefused(async () => verify(token));
  });
});

describe('an encrypted token is refused', () => {
  const claims = JSON.stringify({ exp: START + 60 });

  it('control: accepted with claims, and with a signed token inside', async () => {
    expect(await verify(await encrypt(encryption, claims))).toMatchObject({ tenant: acme });
    const inner = await sign(secret, { scope: 'manage run' });
    const nested = await verify(await encrypt(encryption, inner, { cty: 'JWT', kid: 'acme-jwe' }));
    expect([...nested.scopes]).toEqual(['manage', 'run']);
  });

  it('when its key has another length', async () => {
    for (const [bytes, enc] of [
      [16, 'A128GCM'],
      [24, 'A192GCM'],
      [32, 'A128CBC-HS256'],
      [64, 'A256CBC-HS512'],
    ] as const) {
      const token = await encrypt(randomBytes(bytes), claims, { enc });
      await expectRefused(async () => verify(token), /encryption is not accepted/);
    }
    const short = {
      kind: 'jwe',
      id: 'short',
      tenant: acme,
      secret: randomBytes(16),
      createdAt: 3,
      revokedAt: null,
    } as const;
    auth.keys.keys.push(short);
    auth.ring.refresh(acme);
    const token = await encrypt(short.secret, claims, { enc: 'A128GCM' });
    const parts = token.split('.');
    parts[0] = forge({ alg: 'dir', enc: 'A256GCM', kid: 'short' });
    await expectRefused(async () => verify(parts.join('.')), /no key/);
  });

  it('when it is compressed: a bomb is never unpacked', async () => {
    const bomb = deflateRawSync(Buffer.alloc(4_000_000, 'a')).toString('latin1');
    await expectRefused(
      async () =>
        verify(
          forge(
            { alg: 'dir', enc: 'A256GCM', zip: 'DEF' },
            '',
            'AAAA',
            Buffer.from(bomb, 'latin1').toString('base64url'),
            'AAAA',
          ),
        ),
      /"zip"/,
    );
  });

  it('when its key is to be derived from a password, two thousand million times', async () => {
    const header = { alg: 'PBES2-HS512+A256KW', enc: 'A256GCM', p2c: 2 ** 31, p2s: 'AAAA' };
    await expectRefused(async () => verify(forge(header, 'AAAA', 'AAAA', 'AAAA', 'AAAA')), /"p2s"|"p2c"/);
    const { p2c: _, p2s: __, ...bare } = header;
    await expectRefused(async () => verify(forge(bare, 'AAAA', 'AAAA', 'AAAA', 'AAAA')), /not accepted/);
    await expectRefused(
      async () => verify(forge({ alg: 'dir', enc: 'A256GCM', p2c: 2 ** 31 }, '', 'AAAA', 'AAAA', 'AAAA')),
      /"p2c"/,
    );
  });

  it('when its key is wrapped or agreed on', async () => {
    for (const alg of ['A256KW', 'A256GCMKW', 'RSA-OAEP', 'RSA1_5', 'ECDH-ES'])
      await expectRefused(
        async () => verify(forge({ alg, enc: 'A256GCM' }, 'AAAA', 'AAAA', 'AAAA', 'AAAA')),
        /not accepted/,
      );
  });

  it('when another tenant’s key encrypted it, or one that signs', async () => {
    await expectRefused(async () => verify(await encrypt(secretOf(auth, 'other-jwe'), claims)), /no key/);
    await expectRefused(async () => verify(await encrypt(secret, claims)), /no key/);
    await expectRefused(async () => verify(await encrypt(encryption, claims), other), /no key/);
    await expectRefused(async () => verify(await encrypt(encryption, claims), null), /no key/);
  });

  it('when what is inside is no good token', async () => {
    const nested = { cty: 'JWT' };
    const unsigned = forge({ alg: 'none' }, { exp: START + 60 }, '');
    await expectRefused(async () => verify(await encrypt(encryption, unsigned, nested)), /algorithm/);
    await expectRefused(async () => verify(await encrypt(encryption, claims, nested)), /no JWT/);
    await expectRefused(
      async () => verify(await encrypt(encryption, await encrypt(encryption, claims), nested)),
      /twice/,
    );
    await expectRefused(
      async () => verify(await encrypt(encryption, await sign(secretOf(auth, 'other-hs256')), nested)),
      /no key/,
    );
    await expectRefused(async () => verify(await encrypt(encryption, await sign(secret))), /no JSON object/);
    const expired = await new EncryptJWT({ exp: START - 1 })
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .encrypt(encryption);
    await expectRefused(async () => verify(expired), /expired/);
  });

  it('when one bit of it was changed', async () => {
    const token = await encrypt(encryption, claims);
    for (const part of [0, 2, 3, 4]) {
      const parts = token.split('.');
      const bytes = Buffer.from(parts[part]!, 'base64url');
      bytes[bytes.length - 1]! ^= 1;
      parts[part] = bytes.toString('base64url');
      await expectRefused(async () => verify(parts.join('.')));
    }
  });
});

/** Signed by hand, with claims that no library would take. */
function forged(key: Uint8Array, claims: unknown): string {
  const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
  const signed = forge({ alg: 'HS256' }, payload);
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
}
