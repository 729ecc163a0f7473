/** Makes the tokens of webtasks (webtask contract, 1.3): those that run code, and those that manage a container. */
import type { IssuedToken, Principal, TokenIssuer, TokenRequest } from '../auth/principal.ts';
import { BerthError } from '../contracts/errors.ts';
import type { FunctionName, TenantId } from '../contracts/ids.ts';
import type { WebtaskRecord } from '../contracts/model.ts';
import { peekClaims } from '../invoke/caller-token.ts';
import type { Clock } from '../kernel/clock.ts';
import { forbidden, namesOf } from './access.ts';
import { type IssueClaims, ratesOf } from './claims.ts';
import { ancestorsOf, remainingDepth } from './delegation.ts';
import { codeReference, isHidden, parseName, secretsReference } from './names.ts';

const PARSE_BY_ARITY = 2;

export interface Place {
  readonly tenant: TenantId;
  readonly name: FunctionName;
}

export class TokenMaker {
  readonly #tokens: TokenIssuer;
  readonly #clock: Clock;

  constructor(tokens: TokenIssuer, clock: Clock) {
    this.#tokens = tokens;
    this.#clock = clock;
  }

  /** A token that runs one webtask, which its `url` tells; that of an unnamed one says no name. */
  async makeRunning(
    principal: Principal,
    place: Place,
    claims: IssueClaims & { readonly hasSecrets?: boolean },
  ): Promise<WebtaskRecord> {
    const parseBody = claims.pb ?? PARSE_BY_ARITY;
    const issued = await this.#sign(principal, claims, {
      scopes: ['run'],
      tenant: place.tenant,
      ...(isHidden(place.name) ? {} : { fn: place.name }),
      claims: {
        url: codeReference(place.tenant, place.name),
        pb: parseBody,
        dd: 0,
        ...(claims.mb === undefined ? {} : { mb: Number(claims.mb) }),
        ...(claims.pctx === undefined ? {} : { pctx: claims.pctx }),
        ...(claims.hasSecrets === true ? { ectx: secretsReference(place.tenant, place.name) } : {}),
      },
    });
    return {
      token: issued.token,
      jti: issued.jti,
      parseBody,
      mergeBody: claims.mb ?? false,
      params: claims.pctx ?? {},
      host: null,
    };
  }

  /** A token that manages a container, never more nor longer than the one it comes from. @throws BerthError FORBIDDEN, BAD_REQUEST */
  async makeManaging(principal: Principal, tenant: TenantId, claims: IssueClaims): Promise<string> {
    const name = onlyName(principal, claims);
    const depth = Math.min(claims.dd ?? 0, remainingDepth(principal) - 1);
    const issued = await this.#sign(principal, endingWith(principal, claims), {
      scopes: ['manage', 'run'],
      tenant,
      ...(name === null ? {} : { fn: name }),
      claims: { dd: depth },
    });
    return issued.token;
  }

  /** @throws BerthError BAD_REQUEST when a token with these times could never be used */
  mustBeUsable({ nbf, exp }: IssueClaims): void {
    if (exp !== undefined && exp <= this.#nowSeconds())
      throw new BerthError('BAD_REQUEST', { reason: 'exp: the time has passed' });
    if (exp !== undefined && nbf !== undefined && exp <= nbf)
      throw new BerthError('BAD_REQUEST', { reason: 'exp: must be later than nbf' });
  }

  isExpired(token: string): boolean {
    const exp = peekClaims(token)?.['exp'];
    return typeof exp === 'number' && exp <= this.#nowSeconds();
  }

  async #sign(
    principal: Principal,
    claims: IssueClaims,
    request: Omit<TokenRequest, 'expiresInSeconds' | 'notBefore'>,
  ): Promise<IssuedToken> {
    return this.#tokens.issue({
      ...request,
      ...(claims.exp === undefined ? {} : { expiresInSeconds: claims.exp - this.#nowSeconds() }),
      ...(claims.nbf === undefined ? {} : { notBefore: claims.nbf }),
      claims: {
        ...request.claims,
        ...(claims.dr === undefined ? {} : { dr: claims.dr }),
        ...ratesOf(claims),
        ca: ancestorsOf(principal),
      },
    });
  }

  #nowSeconds(): number {
    return Math.floor(this.#clock.now() / 1_000);
  }
}

/** The name that a managing token is limited to. Only one: the rest of the platform knows no lists of names in tokens. */
function onlyName(principal: Principal, claims: IssueClaims): FunctionName | null {
  const held = namesOf(principal);
  const asked = claims.jtnm?.map(parseName) ?? (held === null ? null : [...held].map(parseName));
  if (asked === null) return null;
  const [name] = asked;
  if (name === undefined || asked.length > 1)
    throw new BerthError('BAD_REQUEST', { reason: 'jtnm: one name a token, or none for all' });
  if (held !== null && !held.has(name)) throw forbidden('it is for other webtasks');
  return name;
}

function endingWith(principal: Principal, claims: IssueClaims): IssueClaims {
  if (principal.expiresAt === null) return claims;
  const end = Math.floor(principal.expiresAt / 1_000);
  return { ...claims, exp: Math.min(claims.exp ?? end, end) };
}
