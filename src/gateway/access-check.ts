/** Whether a caller may run a function; decided before any tenant code sees the request (hostile case 34). */
import type { IncomingMessage } from 'node:http';
import type { Authorise, Principal, TokenVerifier } from '../auth/principal.ts';
import { readBearer } from '../auth/read-bearer.ts';
import { MAX_TOKEN_CHARACTERS } from '../auth/refusal.ts';
import { BerthError, toBerthError } from '../contracts/errors.ts';
import type { TenantId } from '../contracts/ids.ts';
import { headersForPublic, headersOfCaller } from '../invoke/caller-token.ts';
import type { Route } from '../invoke/invoker.ts';

export interface GatewayVerifier extends TokenVerifier {
  /** A token that was verified a moment ago and is still good; null: verify it. Never waits. */
  verifyCached?(token: string, tenant: TenantId | null): Principal | null;
}

export interface AccessCheckOptions {
  readonly verifier: GatewayVerifier;
  readonly authorise: Authorise;
}

/** Whether it may run. true: with its headers as they came; headers: with these instead; an error: no. */
export type Verdict = true | readonly string[] | BerthError;

export class AccessCheck {
  readonly #options: AccessCheckOptions;

  constructor(options: AccessCheckOptions) {
    this.#options = options;
  }

  /** Decides where nothing has to be waited for. @returns null: ask `decide` */
  decideNow(route: Route, request: IncomingMessage): Verdict | null {
    if (route.tenant.state !== 'active') return new BerthError('TENANT_SUSPENDED');
    if (route.access === 'public') return headersForPublic(request) ?? true;
    const token = tokenOf(request);
    if (token instanceof BerthError) return token;
    try {
      const principal = this.#options.verifier.verifyCached?.(token, route.tenant.id) ?? null;
      return principal === null ? null : this.#judge(principal, route, request);
    } catch (error) {
      return toBerthError(error);
    }
  }

  /** Verifies the token. Does not throw. */
  async decide(route: Route, request: IncomingMessage): Promise<Verdict> {
    const token = tokenOf(request);
    if (token instanceof BerthError) return token;
    try {
      return this.#judge(await this.#options.verifier.verify(token, route.tenant.id), route, request);
    } catch (error) {
      return toBerthError(error);
    }
  }

  #judge(principal: Principal, route: Route, request: IncomingMessage): Verdict {
    try {
      this.#options.authorise(principal, 'run', route.tenant.id, route.fn);
    } catch (thrown) {
      const error = toBerthError(thrown);
      // The API hides what belongs to others; here the address is public, and the token is what is wrong.
      if (error.code !== 'NOT_FOUND') return error;
      return new BerthError('FORBIDDEN', { reason: 'it is for another tenant' });
    }
    return headersOfCaller(request, principal) ?? true;
  }
}

function tokenOf(request: IncomingMessage): string | BerthError {
  const token = readBearer(request.headers.authorization);
  if (token === null) return new BerthError('TOKEN_MISSING');
  if (token.length <= MAX_TOKEN_CHARACTERS) return token;
  return new BerthError('TOKEN_INVALID', { reason: 'it is too long' });
}
