/** Issues the platform's own tokens. */
import { randomBytes } from 'node:crypto';
import { SignJWT } from 'jose';
import { BerthError } from '../contracts/errors.ts';
import type { Clock } from '../kernel/clock.ts';
import { freezeBounded } from './claims.ts';
import type { KeyRing } from './key-ring.ts';
import type { IssuedToken, TokenIssuer, TokenRequest } from './principal.ts';
import { MAX_TOKEN_CHARACTERS } from './refusal.ts';

export interface TokenIssuerOptions {
  readonly ring: KeyRing;
  readonly clock: Pick<Clock, 'now'>;
  /** `iss`, default `berth` */
  readonly issuer?: string;
  readonly random?: (size: number) => Uint8Array;
}

const TOKEN_ID_BYTES = 16;
/** Claims that say who may do what and when: only the request's own fields set them. */
const OWN_CLAIMS = ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'ten', 'jtn', 'scope'];

export function createTokenIssuer(options: TokenIssuerOptions): TokenIssuer {
  return { issue: (request) => issue(options, request) };
}

async function issue(options: TokenIssuerOptions, request: TokenRequest): Promise<IssuedToken> {
  const { signing } = await options.ring.platform();
  if (signing === null) {
    throw new BerthError('INTERNAL', {}, { cause: new Error('the platform has no key that signs') });
  }
  const jti = Buffer.from((options.random ?? randomBytes)(TOKEN_ID_BYTES)).toString('hex');
  const claims = claimsOf(request, {
    iss: options.issuer ?? 'berth',
    jti,
    iat: Math.floor(options.clock.now() / 1_000),
  });
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', kid: signing.id })
    .sign(signing.key);
  if (token.length > MAX_TOKEN_CHARACTERS) {
    throw badRequest(`the token would be longer than ${MAX_TOKEN_CHARACTERS} characters`);
  }
  return { token, jti };
}

function claimsOf(
  request: TokenRequest,
  own: { readonly iss: string; readonly jti: string; readonly iat: number },
): Record<string, unknown> {
  const { scopes, tenant, fn, expiresInSeconds, notBefore, claims = {} } = request;
  const taken = OWN_CLAIMS.find((name) => Object.hasOwn(claims, name));
  if (taken !== undefined) throw badRequest(`the claim "${taken}" is set by the issuer`);
  if (tenant === null ? !scopes.includes('operator') : scopes.includes('operator')) {
    throw badRequest('a token is either the operator’s or for one tenant');
  }
  checkBounds(claims);
  return {
    ...claims,
    ...own,
    ...(tenant === null ? {} : { ten: tenant }),
    ...(fn === undefined ? {} : { jtn: fn }),
    ...(expiresInSeconds === undefined
      ? {}
      : { exp: own.iat + seconds(expiresInSeconds, 'expiresInSeconds') }),
    ...(notBefore === undefined ? {} : { nbf: seconds(notBefore, 'notBefore') }),
    scope: scopes.join(' '),
  };
}

/** What we would refuse when it comes back must not be issued. */
function checkBounds(claims: Readonly<Record<string, unknown>>): void {
  try {
    freezeBounded(structuredClone(claims));
  } catch (error) {
    throw badRequest('the claims are too deep or too many', error);
  }
}

function seconds(value: number, name: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw badRequest(`${name} is a whole number of seconds`);
}

function badRequest(reason: string, cause?: unknown): BerthError {
  return new BerthError('BAD_REQUEST', { reason }, { cause });
}
