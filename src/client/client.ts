/** The typed client of `/v1`. Every call throws ClientError; all take a signal in their last argument where they can be long. */
import { z } from 'zod';
import type { IsolationTier } from '../contracts/isolations.ts';
import { FunctionClient } from './function-client.ts';
import { LogClient } from './log-client.ts';
import { pages } from './pages.ts';
import {
  type About,
  type IssuedTokenRecord,
  type KeyRecord,
  type LimitTable,
  type Readiness,
  type ServiceItem,
  type TenantRecord,
  type UsageRecord,
  aboutSchema,
  keySchema,
  limitsSchema,
  listSchema,
  readinessSchema,
  serviceSchema,
  tenantSchema,
  tokenSchema,
  usageSchema,
} from './records.ts';
import { Transport, type TransportOptions } from './transport.ts';

export interface TenantChange {
  readonly name?: string;
  readonly state?: 'active' | 'suspended';
  /** Replaced as a whole. */
  readonly limits?: Readonly<Record<string, number>>;
  /** Replaced as a whole. */
  readonly egress?: 'public' | 'none' | readonly string[];
  readonly isolation?: IsolationTier;
}

export type NewKey =
  | { readonly kind: 'hs256' | 'jwe'; readonly id?: string; readonly secret?: string }
  | { readonly kind: 'jwks'; readonly id?: string; readonly url: string };

export class BerthClient {
  readonly #transport: Transport;

  constructor(options: TransportOptions) {
    this.#transport = new Transport(options);
  }

  get url(): string {
    return this.#transport.url;
  }

  about(): Promise<About> {
    return this.#transport.json(aboutSchema, { path: ['v1'] });
  }

  readiness(): Promise<Readiness> {
    return this.#transport.json(readinessSchema, { path: ['readyz'], alsoGood: [503] });
  }

  limits(): Promise<LimitTable> {
    return this.#transport.json(limitsSchema, { path: ['v1', 'limits'] });
  }

  /** All sandboxes are made anew. @returns the versions of Node that they have from now on */
  rollout(signal?: AbortSignal): Promise<{ nodeVersions: string[] }> {
    return this.#transport.json(z.object({ nodeVersions: z.array(z.string()) }), {
      method: 'POST',
      path: ['v1', 'rollout'],
      signal,
    });
  }

  rotatePlatformKey(): Promise<{ id: string }> {
    return this.#transport.json(z.object({ id: z.string() }), {
      method: 'POST',
      path: ['v1', 'keys', 'rotate'],
    });
  }

  /** By the `kid` of its tokens; not the one that signs. */
  revokePlatformKey(id: string): Promise<void> {
    return this.#transport.done({ method: 'DELETE', path: ['v1', 'keys', id] });
  }

  /** One that the platform issued, to whomever: by the token itself or by its id. */
  revokeToken(which: { readonly token: string } | { readonly jti: string }): Promise<void> {
    return this.#transport.done({ method: 'POST', path: ['v1', 'tokens', 'revoke'], body: which });
  }

  createTenant(tenant: {
    readonly id: string;
    readonly name?: string;
    readonly limits?: Readonly<Record<string, number>>;
    readonly egress?: 'public' | 'none' | readonly string[];
    readonly isolation?: IsolationTier;
  }): Promise<TenantRecord> {
    return this.#transport.json(tenantSchema, { method: 'POST', path: ['v1', 'tenants'], body: tenant });
  }

  /** All of them, page by page. */
  async *tenants(pageSize = 100): AsyncGenerator<TenantRecord> {
    yield* pages(this.#transport, tenantSchema, { path: ['v1', 'tenants'], pageSize });
  }

  tenant(id: string): TenantClient {
    return new TenantClient(this.#transport, id);
  }
}

export class TenantClient {
  readonly #transport: Transport;
  readonly #path: readonly string[];
  readonly logs: LogClient;

  constructor(transport: Transport, id: string) {
    this.#transport = transport;
    this.#path = ['v1', 'tenants', id];
    this.logs = new LogClient(transport, [...this.#path, 'logs']);
  }

  get(): Promise<TenantRecord> {
    return this.#transport.json(tenantSchema, { path: this.#path });
  }

  update(change: TenantChange): Promise<TenantRecord> {
    return this.#transport.json(tenantSchema, { method: 'PATCH', path: this.#path, body: change });
  }

  delete(): Promise<void> {
    return this.#transport.done({ method: 'DELETE', path: this.#path });
  }

  /** By day, the last `days` of them. */
  async usage(days: number): Promise<readonly UsageRecord[]> {
    const path = [...this.#path, 'usage'];
    return (await this.#transport.json(listSchema(usageSchema), { path, query: { days } })).items;
  }

  functions(pageSize = 100) {
    return FunctionClient.list(this.#transport, [...this.#path, 'functions'], pageSize);
  }

  function(name: string): FunctionClient {
    return new FunctionClient(this.#transport, [...this.#path, 'functions', name]);
  }

  async keys(): Promise<readonly KeyRecord[]> {
    return (await this.#transport.json(listSchema(keySchema), { path: [...this.#path, 'keys'] })).items;
  }

  addKey(key: NewKey): Promise<KeyRecord> {
    return this.#transport.json(keySchema, { method: 'POST', path: [...this.#path, 'keys'], body: key });
  }

  revokeKey(id: string): Promise<void> {
    return this.#transport.done({ method: 'DELETE', path: [...this.#path, 'keys', id] });
  }

  async services(): Promise<readonly ServiceItem[]> {
    const path = [...this.#path, 'services'];
    return (await this.#transport.json(listSchema(serviceSchema), { path })).items;
  }

  /** Resolves when it runs. */
  createService(service: {
    readonly kind: string;
    readonly name?: string;
    readonly memoryBytes?: number;
  }): Promise<ServiceItem> {
    const path = [...this.#path, 'services'];
    return this.#transport.json(serviceSchema, { method: 'POST', path, body: service });
  }

  startService(name: string): Promise<ServiceItem> {
    const path = [...this.#path, 'services', name, 'start'];
    return this.#transport.json(serviceSchema, { method: 'POST', path });
  }

  stopService(name: string): Promise<ServiceItem> {
    const path = [...this.#path, 'services', name, 'stop'];
    return this.#transport.json(serviceSchema, { method: 'POST', path });
  }

  /** With all that it keeps. */
  deleteService(name: string): Promise<void> {
    return this.#transport.done({ method: 'DELETE', path: [...this.#path, 'services', name] });
  }

  issueToken(request: {
    readonly scopes: readonly ('manage' | 'run')[];
    readonly fn?: string;
    readonly expiresInSeconds?: number;
  }): Promise<IssuedTokenRecord> {
    return this.#transport.json(tokenSchema, {
      method: 'POST',
      path: [...this.#path, 'tokens'],
      body: request,
    });
  }

  /** By the token itself or by its id. */
  revokeToken(which: { readonly token: string } | { readonly jti: string }): Promise<void> {
    return this.#transport.done({ method: 'POST', path: [...this.#path, 'tokens', 'revoke'], body: which });
  }

  revokeAllTokens(): Promise<void> {
    return this.#transport.done({ method: 'POST', path: [...this.#path, 'tokens', 'revoke-all'] });
  }
}
