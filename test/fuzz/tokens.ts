/** Target `tokens`: whatever is sent as a token is refused as TOKEN_INVALID, soon, or gives no more than its tenant's scopes. */
import fc from 'fast-check';
import { expect } from 'vitest';
import { BerthError } from '../../src/contracts/errors.ts';
import {
  acme,
  type AuthFixture,
  authFixture,
  encrypt,
  forge,
  secretOf,
  sign,
  START,
} from '../../src/auth/testing/auth-fixture.ts';
import { checkInputs, corpusOf, type FuzzParameters, type FuzzTarget } from './fuzz-target.ts';

const SOON_MS = 2_000;

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
const madeUp = fc
  .tuple(header, fc.array(part, { minLength: 1, maxLength: 5 }))
  .map(([head, rest]) => [forge(head), ...rest].join('.'));
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

class Tokens {
  readonly #auth: AuthFixture;
  readonly #good: readonly [signed: string, encrypted: string];

  constructor(auth: AuthFixture, good: readonly [signed: string, encrypted: string]) {
    this.#auth = auth;
    this.#good = good;
  }

  async check(parameters: FuzzParameters): Promise<void> {
    const quarter = { ...parameters, numRuns: Math.ceil(parameters.numRuns / 4) };
    if (parameters.interruptAfterTimeLimit !== undefined)
      quarter.interruptAfterTimeLimit = parameters.interruptAfterTimeLimit / 4;
    const texts = fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), madeUp);
    await checkInputs(texts, corpusOf('tokens'), (token) => this.#isRefused(token), quarter);
    await checkInputs(this.#changed(), [], (token) => this.#isRefused(token), quarter);
    await checkInputs(this.#cutOrRepeated(), [], (token) => this.#isRefused(token), quarter);
    await checkInputs(claims, [], (body) => this.#staysInItsTenant(body), quarter);
  }

  /** A good one with one character changed: not the same bytes any more. */
  #changed(): fc.Arbitrary<string> {
    return fc
      .tuple(fc.constantFrom(...this.#good), fc.nat(), fc.constantFrom(...'Aa0_-.=+/ \n\0é'))
      .map(([good, at, character]) => {
        const index = at % good.length;
        const changed = good.slice(0, index) + character + good.slice(index + 1);
        return isSameBytes(good, changed) ? '' : changed;
      });
  }

  #cutOrRepeated(): fc.Arbitrary<string> {
    const [signed] = this.#good;
    return fc.tuple(fc.nat(), fc.nat(), fc.boolean()).map(([from, length, isRepeated]) => {
      const start = from % signed.length;
      const piece = signed.slice(start, start + 1 + (length % signed.length));
      if (isRepeated) return signed.slice(0, start) + piece + signed.slice(start);
      return piece === signed ? '' : piece;
    });
  }

  async #isRefused(token: string): Promise<void> {
    const started = performance.now();
    const result = await this.#auth.verifier.verify(token, acme).catch((error: unknown) => error);
    expect(result, token).toBeInstanceOf(BerthError);
    expect((result as BerthError).code).toBe('TOKEN_INVALID');
    expect(performance.now() - started).toBeLessThan(SOON_MS);
  }

  async #staysInItsTenant(body: Record<string, unknown>): Promise<void> {
    const token = await sign(secretOf(this.#auth, 'acme-hs256'), body);
    const principal = await this.#auth.verifier.verify(token, acme).catch((error: unknown) => {
      if (error instanceof BerthError && error.code === 'TOKEN_INVALID') return null;
      throw error;
    });
    if (principal === null) return;
    expect(principal.tenant).toBe(acme);
    expect(principal.scopes.has('operator')).toBe(false);
  }
}

export async function openTokens(): Promise<FuzzTarget> {
  const auth = await authFixture();
  const secret = secretOf(auth, 'acme-hs256');
  const signed = await sign(secret, { jti: 'j', scope: 'manage run' }, { kid: 'acme-hs256' });
  const encrypted = await encrypt(secretOf(auth, 'acme-jwe'), JSON.stringify({ exp: START + 60 }));
  for (const good of [signed, encrypted]) await auth.verifier.verify(good, acme);
  const tokens = new Tokens(auth, [signed, encrypted]);
  return {
    name: 'tokens',
    check: (parameters) => tokens.check(parameters),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** The last character of a part may hold bits that no byte needs: then the token is still the same. */
function isSameBytes(one: string, other: string): boolean {
  const bytes = (token: string): string =>
    token
      .split('.')
      .map((text) => Buffer.from(text, 'base64url').toString('hex'))
      .join('.');
  return /^[\w.-]*$/.test(other) && bytes(one) === bytes(other);
}
