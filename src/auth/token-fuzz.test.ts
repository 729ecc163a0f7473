/** Whatever is sent as a token: a BerthError TOKEN_INVALID, soon, and never a principal. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { BerthError } from '../contracts/errors.ts';
import {
  acme,
  type AuthFixture,
  authFixture,
  encrypt,
  forge,
  secretOf,
  sign,
  START,
} from './testing/auth-fixture.ts';

let auth: AuthFixture;
let signed: string;
let encrypted: string;

beforeAll(async () => {
  auth = await authFixture();
  signed = await sign(secretOf(auth, 'acme-hs256'), { jti: 'j', scope: 'manage run' }, { kid: 'acme-hs256' });
  encrypted = await encrypt(secretOf(auth, 'acme-jwe'), JSON.stringify({ exp: START + 60 }));
  await auth.verifier.verify(signed, acme);
  await auth.verifier.verify(encrypted, acme);
});

async function isRefused(token: string): Promise<boolean> {
  try {
    await auth.verifier.verify(token, acme);
    return false;
  } catch (error) {
    if (error instanceof BerthError && error.code === 'TOKEN_INVALID') return true;
    throw error;
  }
}

const header = fc.oneof(
  fc.jsonValue(),
  fc.record(
    {
      alg: fc.oneof(
        fc.constantFrom('HS256', 'RS256', 'ES256', 'EdDSA', 'none', 'dir', 'PBES2-HS256+A128KW'),
        fc.jsonValue(),
      ),
      enc: fc.oneof(fc.constant('A256GCM'), fc.jsonValue()),
      kid: fc.oneof(fc.constantFrom('acme-hs256', 'acme-jwe', '__proto__'), fc.jsonValue()),
      crit: fc.jsonValue(),
      zip: fc.constant('DEF'),
      p2c: fc.nat(),
      jwk: fc.jsonValue(),
      cty: fc.constantFrom('JWT', 'jwt', 7),
    },
    { requiredKeys: [] },
  ),
);
const part = fc.oneof(
  fc.string(),
  fc.base64String(),
  fc.jsonValue().map((value) => forge({ value })),
  fc.constant(''),
);

describe('a malformed token', () => {
  it('of any text is refused', async () => {
    await fc.assert(fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 300 }), isRefused), {
      numRuns: 500,
    });
  });

  it('of a made-up header and parts is refused', async () => {
    const parts = fc.array(part, { minLength: 1, maxLength: 5 });
    const property = fc.asyncProperty(header, parts, (head, rest) =>
      isRefused([forge(head), ...rest].join('.')),
    );
    await fc.assert(property, { numRuns: 1_000 });
  });

  it('made from a good one by changing one character is refused', async () => {
    const change = fc.tuple(
      fc.constantFrom('signed', 'encrypted'),
      fc.nat(),
      fc.constantFrom(...'Aa0_-.=+/ \n\0é'),
    );
    const property = fc.asyncProperty(change, async ([which, at, character]) => {
      const good = which === 'signed' ? signed : encrypted;
      const index = at % good.length;
      const changed = good.slice(0, index) + character + good.slice(index + 1);
      if (isSameBytes(good, changed)) return;
      expect(await isRefused(changed)).toBe(true);
    });
    await fc.assert(property, { numRuns: 1_000 });
  });

  it('cut off or repeated anywhere is refused', async () => {
    const property = fc.asyncProperty(fc.nat(), fc.nat(), async (from, length) => {
      const start = from % signed.length;
      const piece = signed.slice(start, start + 1 + (length % signed.length));
      if (piece !== signed) expect(await isRefused(piece)).toBe(true);
      expect(await isRefused(signed.slice(0, start) + piece + signed.slice(start))).toBe(true);
    });
    await fc.assert(property, { numRuns: 300 });
  });

  it('with any claims, well signed, gives the scopes of its tenant at most', async () => {
    const claims = fc.dictionary(
      fc.constantFrom(
        'ten',
        'scope',
        'jtn',
        'iss',
        'aud',
        'nbf',
        'iat',
        'exp',
        'jti',
        'url',
        'ca',
        '__proto__',
        'x',
      ),
      fc.oneof(fc.constantFrom('acme', 'other', 'operator', 'manage run', START, START + 60), fc.jsonValue()),
    );
    const property = fc.asyncProperty(claims, async (body) => {
      const token = await sign(secretOf(auth, 'acme-hs256'), body);
      const principal = await auth.verifier.verify(token, acme).catch((error: unknown) => {
        if (error instanceof BerthError && error.code === 'TOKEN_INVALID') return null;
        throw error;
      });
      if (principal === null) return;
      expect(principal.tenant).toBe(acme);
      expect(principal.scopes.has('operator')).toBe(false);
    });
    await fc.assert(property, { numRuns: 500 });
  });
});

/** The last character of a part may hold bits that no byte needs: then the token is still the same. */
function isSameBytes(one: string, other: string): boolean {
  const bytes = (token: string) =>
    token
      .split('.')
      .map((text) => Buffer.from(text, 'base64url').toString('hex'))
      .join('.');
  return /^[\w.-]*$/.test(other) && bytes(one) === bytes(other);
}
