/** Issues and changes webtasks: `POST /api/tokens/issue` and `PUT /api/webtask/:container/:name`. */
import { createHash } from 'node:crypto';
import type { Principal } from '../auth/principal.ts';
import { BerthError } from '../contracts/errors.ts';
import type { TenantId } from '../contracts/ids.ts';
import type { FunctionRecord } from '../contracts/model.ts';
import type { Control } from '../control/control.ts';
import type { FunctionSettings } from '../store/store.ts';
import { forbidden, isOperator, mustManage, mustManageName, namesOf } from './access.ts';
import type { IssueClaims, WebtaskBody } from './claims.ts';
import { mustDelegate } from './delegation.ts';
import {
  hiddenName,
  isHidden,
  parseCodeReference,
  parseContainer,
  parseName,
  parseSecretsReference,
} from './names.ts';
import type { Place, TokenMaker } from './token-maker.ts';
import { isWebtask, type NewCode, type Webtask, type Webtasks } from './webtasks.ts';

export interface Issued {
  readonly token: string;
  /** null for tokens that only manage */
  readonly webtask: Webtask | null;
}

interface Replacement {
  readonly principal: Principal;
  readonly place: Place;
  readonly claims: IssueClaims;
  readonly code: NewCode;
  readonly present: FunctionRecord | null;
}

export interface IssuanceParts {
  readonly control: Control;
  readonly webtasks: Webtasks;
  readonly tokens: TokenMaker;
  readonly randomId: () => string;
}

export class Issuance {
  readonly #parts: IssuanceParts;

  constructor(parts: IssuanceParts) {
    this.#parts = parts;
  }

  /**
   * @throws BerthError FORBIDDEN, NOT_FOUND (container, or a webtask to be re-issued without code), NAME_INVALID,
   * BAD_REQUEST, and all of `Control.deploy`
   */
  async issue(principal: Principal, claims: IssueClaims): Promise<Issued> {
    const tenant = tenantOf(principal, claims);
    mustManage(principal, tenant);
    mustDelegate(principal);
    this.#parts.tokens.mustBeUsable(claims);
    refuseHost(claims.host);
    await this.#ensureTenant(principal, tenant);
    if (claims.jtn !== undefined) return this.#issueNamed(principal, tenant, claims);
    if (claims.code !== undefined || claims.url !== undefined)
      return this.#issueUnnamed(principal, tenant, claims);
    return { token: await this.#parts.tokens.makeManaging(principal, tenant, claims), webtask: null };
  }

  /** What the body leaves out stays as it is, and so does the token. @throws as `issue` */
  async put(principal: Principal, place: Place, body: WebtaskBody): Promise<Webtask> {
    mustManage(principal, place.tenant);
    mustManageName(principal, place.name);
    refuseHost(body.host);
    await this.#ensureTenant(principal, place.tenant);
    const present = await this.#parts.webtasks.find(place.tenant, place.name);
    const code = await this.#codeOf(principal, place, body);
    if (code === null) mustBePresent(place, present);
    const hasSecrets = Object.keys(body.secrets ?? {}).length > 0;
    const webtask =
      present?.webtask ?? (await this.#parts.tokens.makeRunning(principal, place, { hasSecrets }));
    return this.#keep(place, code, {
      ...(present === null ? { access: 'public' } : {}),
      ...(body.meta === undefined ? {} : { meta: body.meta }),
      ...(body.secrets === undefined ? {} : { secrets: body.secrets }),
      webtask,
    });
  }

  async #issueNamed(principal: Principal, tenant: TenantId, claims: IssueClaims): Promise<Issued> {
    const place = { tenant, name: parseName(claims.jtn!) };
    mustManageName(principal, place.name);
    const present = await this.#parts.webtasks.find(tenant, place.name);
    const code = await this.#codeOf(principal, place, claims);
    if (code === null) mustBePresent(place, present);
    return this.#replace({ principal, place, claims, code, present });
  }

  async #issueUnnamed(principal: Principal, tenant: TenantId, claims: IssueClaims): Promise<Issued> {
    if (namesOf(principal) !== null) throw forbidden('it is for other webtasks');
    const { place, code } = await this.#unnamedPlace(principal, tenant, claims);
    const present = await this.#parts.webtasks.find(tenant, place.name);
    if (code === null) mustBePresent(place, present);
    const replacement = { principal, place, claims, code, present };
    try {
      return await this.#replace(replacement);
    } catch (error) {
      if (!isFull(error)) throw error;
      const { tokens, webtasks } = this.#parts;
      if ((await webtasks.sweep(tenant, (token) => tokens.isExpired(token))) === 0) throw error;
      return this.#replace(replacement);
    }
  }

  /** A name that no client sees. Equal programs share one, so that issuing the same again does not fill the store. */
  async #unnamedPlace(
    principal: Principal,
    tenant: TenantId,
    claims: IssueClaims,
  ): Promise<{ place: Place; code: NewCode }> {
    const from = claims.code === undefined ? parseCodeReference(claims.url) : null;
    if (from !== null && from.tenant === tenant && isHidden(from.name)) return { place: from, code: null };
    const code = (await this.#codeOf(principal, { tenant, name: hiddenName('none') }, claims))!;
    // Secrets do not go into a name that others may see, not even as a hash.
    const id = claims.ectx === undefined ? hashOf(code.source, claims) : this.#parts.randomId();
    return { place: { tenant, name: hiddenName(id) }, code };
  }

  /** A new token, and exactly the settings that the claims say: secrets, params and metadata that they leave out go. */
  async #replace({ principal, place, claims, code, present }: Replacement): Promise<Issued> {
    const secrets = await this.#secretsOf(principal, place, claims);
    const hasSecrets = secrets === undefined || Object.keys(secrets).length > 0;
    const record = await this.#parts.tokens.makeRunning(principal, place, { ...claims, hasSecrets });
    const webtask = await this.#keep(place, code, {
      ...(present === null ? { access: isHidden(place.name) ? 'token' : 'public' } : {}),
      ...(secrets === undefined ? {} : { secrets }),
      meta: claims.meta ?? {},
      webtask: record,
    });
    return { token: record.token, webtask };
  }

  async #keep(place: Place, code: NewCode, settings: FunctionSettings): Promise<Webtask> {
    const fn = await this.#parts.webtasks.keep(place, code, settings);
    if (isWebtask(fn)) return fn;
    throw new BerthError('INTERNAL', {}, { cause: new Error(`${place.name} lost its webtask record`) });
  }

  /** null: the code that is stored at `place` stays. */
  async #codeOf(
    principal: Principal,
    place: Place,
    { code, url }: Pick<IssueClaims, 'code' | 'url'>,
  ): Promise<NewCode> {
    if (code !== undefined) return { source: Buffer.from(code) };
    if (url === undefined) return null;
    const from = parseCodeReference(url);
    if (from === null) throw urlRefused();
    if (isSame(from, place)) return null;
    mustManage(principal, from.tenant);
    mustManageName(principal, from.name);
    const webtask = await this.#parts.webtasks.get(from.tenant, from.name);
    return { source: Buffer.from(await this.#parts.webtasks.code(webtask)) };
  }

  /** undefined: the secrets that are stored at `place` stay. */
  async #secretsOf(
    principal: Principal,
    place: Place,
    { ectx }: IssueClaims,
  ): Promise<Readonly<Record<string, string>> | undefined> {
    if (typeof ectx !== 'string') return ectx ?? {};
    const from = parseSecretsReference(ectx);
    if (from === null) {
      const reason = 'ectx: secrets that were encrypted elsewhere cannot be read';
      throw new BerthError('BAD_REQUEST', { reason });
    }
    if (isSame(from, place)) return undefined;
    mustManage(principal, from.tenant);
    mustManageName(principal, from.name);
    return this.#parts.control.getSecrets(from.tenant, from.name);
  }

  /** The operator's token makes a container at its first use. @throws BerthError NOT_FOUND, ISOLATION_GAP */
  async #ensureTenant(principal: Principal, id: TenantId): Promise<void> {
    const { control } = this.#parts;
    try {
      await control.getTenant(id);
    } catch (error) {
      if (!isOperator(principal) || !hasCode(error, 'NOT_FOUND')) throw error;
      await control.createTenant({ id }).catch((failure: unknown) => {
        // Another request made it in the meantime.
        if (!hasCode(failure, 'CONFLICT')) throw failure;
      });
    }
  }
}

function tenantOf(principal: Principal, claims: IssueClaims): TenantId {
  const ten = claims.ten ?? principal.tenant;
  if (ten === null)
    throw new BerthError('BAD_REQUEST', { reason: 'ten: say which container the token is for' });
  return parseContainer(ten);
}

function mustBePresent({ tenant, name }: Place, present: FunctionRecord | null): void {
  if (present === null)
    throw new BerthError('NOT_FOUND', { what: `webtask ${tenant}/${name}, and no code was sent` });
}

function isSame(one: Place, other: Place): boolean {
  return one.tenant === other.tenant && one.name === other.name;
}

function hashOf(source: Uint8Array, { pctx, meta, pb, mb, nbf, exp }: IssueClaims): string {
  const settings = JSON.stringify([pctx, meta, pb, mb, nbf, exp]);
  return createHash('sha256').update(source).update('\0').update(settings).digest('hex').slice(0, 40);
}

/** No room for one more function. */
function isFull(error: unknown): boolean {
  return hasCode(error, 'LIMIT_REACHED') && (error as BerthError).facts['name'] === 'functions';
}

function hasCode(error: unknown, code: BerthError['code']): boolean {
  return error instanceof BerthError && error.code === code;
}

function refuseHost(host: string | undefined): void {
  if (host !== undefined && host !== '')
    throw new BerthError('BAD_REQUEST', { reason: 'host: custom domains are not supported yet' });
}

function urlRefused(): BerthError {
  const reason =
    'url: code cannot be fetched from a URL yet; send the code itself (wt create --capture does)';
  return new BerthError('BAD_REQUEST', { reason });
}
