/** Tokens for tests of this folder: signed like the platform's, with one fixed key. */
import { createHmac, randomUUID } from 'node:crypto';
import type { Principal, Scope, TokenIssuer, TokenRequest, TokenVerifier } from '../../auth/principal.ts';
import { BerthError } from '../../contracts/errors.ts';
import { tenantIdSchema } from '../../contracts/ids.ts';
import type { Clock } from '../../kernel/clock.ts';
import { peekClaims } from '../../invoke/caller-token.ts';
import { parseCodeReference } from '../names.ts';

const KEY = 'only for tests';

export class FakeTokens implements TokenIssuer, TokenVerifier {
  readonly revoked = new Set<string>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async issue(request: TokenRequest): Promise<{ token: string; jti: string }> {
    const jti = randomUUID().replaceAll('-', '');
    const iat = Math.floor(this.#clock.now() / 1_000);
    const claims = {
      iss: 'berth',
      jti,
      iat,
      ...(request.tenant === null ? {} : { ten: request.tenant }),
      ...(request.fn === undefined ? {} : { jtn: request.fn }),
      ...(request.expiresInSeconds === undefined ? {} : { exp: iat + request.expiresInSeconds }),
      ...(request.notBefore === undefined ? {} : { nbf: request.notBefore }),
      scope: request.scopes.join(' '),
      ...request.claims,
    };
    const text = [{ alg: 'HS256', kid: '1' }, claims].map(encode).join('.');
    return { token: `${text}.${sign(text)}`, jti };
  }

  async verify(token: string): Promise<Principal> {
    const claims = peekClaims(token);
    const end = token.lastIndexOf('.');
    if (claims === null || sign(token.slice(0, end)) !== token.slice(end + 1))
      throw invalid('it is not ours');
    const { jti, ten, jtn, url, exp, scope } = claims;
    if (this.revoked.has(String(jti))) throw invalid('it was revoked');
    if (typeof exp === 'number' && exp * 1_000 <= this.#clock.now()) throw invalid('it has expired');
    return {
      scopes: new Set(String(scope).split(' ').filter(Boolean) as Scope[]),
      tenant: ten === undefined ? null : tenantIdSchema.parse(ten),
      fn: typeof jtn === 'string' ? jtn : (parseCodeReference(url)?.name ?? null),
      tokenId: String(jti),
      expiresAt: typeof exp === 'number' ? exp * 1_000 : null,
      claims,
    };
  }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function sign(text: string): string {
  return createHmac('sha256', KEY).update(text).digest('base64url');
}

function invalid(reason: string): BerthError {
  return new BerthError('TOKEN_INVALID', { reason });
}
