/** One run of the command: which platform, which token, which tenant, and where to print. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { BerthClient, type TenantClient } from '../client/client.ts';
import type { CliIo } from './cli-io.ts';
import { UsageError } from './exit-code.ts';
import { Output } from './output.ts';
import { type Profile, readProfile } from './profile.ts';

export interface GlobalOptions {
  readonly url?: string;
  readonly token?: string;
  readonly tenant?: string;
  readonly json?: boolean;
}

export interface Target {
  readonly url: string;
  readonly token: string | null;
  /** Where the token came from, for `berth status`. */
  readonly tokenFrom: string | null;
}

const DEFAULT_URL = 'http://127.0.0.1:8787';
const SHOWN_TENANTS = 10;

export class Session {
  readonly io: CliIo;
  readonly output: Output;
  readonly #options: GlobalOptions;
  #target: Target | null = null;
  #client: BerthClient | null = null;
  #tenant: string | null = null;

  constructor(io: CliIo, options: GlobalOptions) {
    this.io = io;
    this.#options = options;
    this.output = new Output(io, options.json === true);
  }

  get target(): Target {
    this.#target ??= findTarget(this.io, this.#options);
    return this.#target;
  }

  get client(): BerthClient {
    const { url, token } = this.target;
    this.#client ??= new BerthClient({ url, token });
    return this.#client;
  }

  /** --tenant, BERTH_TENANT, the profile's, the token's own, or the only one that there is. @throws UsageError, ClientError */
  async tenantId(): Promise<string> {
    this.#tenant ??= this.#namedTenant() ?? (await this.#onlyTenant());
    return this.#tenant;
  }

  async tenant(): Promise<TenantClient> {
    return this.client.tenant(await this.tenantId());
  }

  #namedTenant(): string | null {
    const named = given(this.#options.tenant) ?? given(this.io.env['BERTH_TENANT']);
    if (named !== null) return named;
    const profile = readProfile(this.io);
    return profile !== null && sameAddress(profile.url, this.target.url) ? profile.tenant : null;
  }

  async #onlyTenant(): Promise<string> {
    const { tenant } = await this.client.about();
    if (tenant !== null) return tenant;
    const ids: string[] = [];
    for await (const { id } of this.client.tenants(SHOWN_TENANTS + 1)) {
      ids.push(id);
      if (ids.length > SHOWN_TENANTS) break;
    }
    if (ids.length === 1) return ids[0]!;
    if (ids.length === 0)
      throw new UsageError('There is no tenant yet.', 'Make one: berth tenant create <id>');
    const shown = ids.slice(0, SHOWN_TENANTS).join(', ') + (ids.length > SHOWN_TENANTS ? ', …' : '');
    throw new UsageError('There are several tenants.', `Name one with --tenant or BERTH_TENANT: ${shown}`);
  }
}

/** A token goes only to the platform that it is for: the profile's to its address, the local file's to this machine. */
function findTarget(io: CliIo, options: GlobalOptions): Target {
  const profile = readProfile(io);
  const url = given(options.url) ?? given(io.env['BERTH_URL']) ?? profile?.url ?? DEFAULT_URL;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new UsageError(
      `"${url}" is not an http or https address.`,
      'Give one such as http://127.0.0.1:8787 (--url, BERTH_URL).',
    );
  const found = [
    tokenFrom(given(options.token), '--token'),
    tokenFrom(given(io.env['BERTH_TOKEN']), 'BERTH_TOKEN'),
    profileToken(profile, url),
    isThisMachine(url) ? fileToken(io) : null,
  ].find((one) => one !== null);
  return { url, token: found?.token ?? null, tokenFrom: found?.from ?? null };
}

interface FoundToken {
  readonly token: string;
  readonly from: string;
}

function tokenFrom(token: string | null, from: string): FoundToken | null {
  return token === null ? null : { token, from };
}

function profileToken(profile: Profile | null, url: string): FoundToken | null {
  return profile !== null && sameAddress(profile.url, url) ? tokenFrom(profile.token, 'profile') : null;
}

/** What the platform wrote at its first start. */
function fileToken(io: CliIo): FoundToken | null {
  const file = join(resolve(io.cwd, given(io.env['BERTH_DATA_DIR']) ?? 'data'), 'admin-token');
  try {
    return tokenFrom(given(readFileSync(file, 'utf8').trim()), file);
  } catch {
    return null; // no platform was started here, or it is another user's: then without
  }
}

function sameAddress(a: string, b: string): boolean {
  return URL.canParse(a) && URL.canParse(b) && new URL(a).origin === new URL(b).origin;
}

function isThisMachine(url: string): boolean {
  if (!URL.canParse(url)) return false;
  return /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(url).hostname);
}

function given(text: string | undefined): string | null {
  return text === undefined || text === '' ? null : text;
}
