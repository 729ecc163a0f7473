/**
 * What the platform keeps. A resolved promise of a change means: it survives `kill -9`.
 * Every implementation passes `test/contract/store-suite.ts`. Secrets are encrypted before they reach the database.
 */
import type { EgressPolicy } from '../contracts/egress.ts';
import type { FunctionName, KeyId, RevisionId, ServiceName, TenantId } from '../contracts/ids.ts';
import type { IsolationTier } from '../contracts/isolations.ts';
import type { LimitOverrides } from '../contracts/limits.ts';
import type {
  Access,
  Bytecode,
  FunctionRecord,
  LogRecord,
  PlatformKey,
  PreparedCode,
  Revision,
  ServiceRecord,
  Tenant,
  TenantKey,
  UsageEntry,
  WebtaskRecord,
} from '../contracts/model.ts';

export interface Page {
  readonly limit: number;
  /** Names or ids after this one, in ascending order. */
  readonly after?: string;
}

/** A change that others (directory, caches) must hear of; sent after it is stored, in order. */
export type StoreChange =
  | { readonly kind: 'tenant'; readonly tenant: TenantId }
  | { readonly kind: 'function'; readonly tenant: TenantId; readonly fn: FunctionName }
  | { readonly kind: 'keys'; readonly tenant: TenantId | null }
  | { readonly kind: 'token-revoked'; readonly jti: string; readonly expiresAt: number | null };

export interface NewRevision {
  readonly revision: Omit<Revision, 'number' | 'createdAt'>;
  readonly prepared: PreparedCode;
  /** Takes the place of what the revision had for another target; null: that stays. */
  readonly bytecode: Bytecode | null;
}

/** Settings written together with a deploy; what is left out stays as it was (a new function gets defaults). */
export interface FunctionSettings {
  readonly access?: Access;
  readonly env?: Readonly<Record<string, string>>;
  readonly meta?: Readonly<Record<string, string>>;
  readonly webtask?: WebtaskRecord | null;
  /** Replaces all secrets of the function. */
  readonly secrets?: Readonly<Record<string, string>>;
}

export interface VersionedSecrets extends Pick<FunctionRecord, 'version' | 'createdAt'> {
  readonly secrets: Readonly<Record<string, string>>;
}

export interface TenantStore {
  /** @throws BerthError CONFLICT when it exists */
  createTenant(tenant: {
    readonly id: TenantId;
    readonly name: string;
    readonly limits: LimitOverrides;
    /** public when left out */
    readonly egress?: EgressPolicy;
    /** Left out: standard. */
    readonly isolation?: IsolationTier;
  }): Promise<Tenant>;
  getTenant(id: TenantId): Promise<Tenant | null>;
  listTenants(page: Page): Promise<readonly Tenant[]>;
  countTenants(): Promise<number>;
  /** @throws BerthError NOT_FOUND */
  updateTenant(
    id: TenantId,
    change: Partial<Pick<Tenant, 'name' | 'state' | 'limits' | 'egress' | 'isolation' | 'tokensValidFrom'>>,
  ): Promise<Tenant>;
  /** Deletes the tenant and all that it owns, logs included. @returns false when there was none */
  /** @throws BerthError CONFLICT while it has services */
  deleteTenant(id: TenantId): Promise<boolean>;
}

export interface FunctionStore {
  /** One transaction: function (made when new), revision, activation, settings; prunes revisions over `keepRevisions`.
   *  Deploying what is active already with equal settings changes nothing. @throws BerthError NOT_FOUND without the tenant,
   *  LIMIT_REACHED when the tenant would have more than `maxFunctions`. */
  deploy(
    deploy: NewRevision & {
      readonly settings: FunctionSettings;
      readonly keepRevisions: number;
      readonly maxFunctions: number;
    },
  ): Promise<{ fn: FunctionRecord; revision: Revision }>;
  getFunction(tenant: TenantId, name: FunctionName): Promise<FunctionRecord | null>;
  listFunctions(tenant: TenantId, page: Page): Promise<readonly FunctionRecord[]>;
  /** All functions of all tenants, for filling the directory at start; streamed. */
  eachFunction(): AsyncIterable<FunctionRecord>;
  /** @throws BerthError NOT_FOUND */
  updateFunction(tenant: TenantId, name: FunctionName, settings: FunctionSettings): Promise<FunctionRecord>;
  /** @throws BerthError NOT_FOUND when function or revision is not there */
  activate(tenant: TenantId, name: FunctionName, revision: RevisionId): Promise<FunctionRecord>;
  deleteFunction(tenant: TenantId, name: FunctionName): Promise<boolean>;
  getRevision(tenant: TenantId, name: FunctionName, id: RevisionId): Promise<Revision | null>;
  /** newest first */
  listRevisions(tenant: TenantId, name: FunctionName): Promise<readonly Revision[]>;
  getCode(tenant: TenantId, name: FunctionName, id: RevisionId): Promise<PreparedCode | null>;
  /** null where there is none for this target, or what is kept is damaged */
  getBytecode(revision: Pick<Revision, 'tenant' | 'fn' | 'id'>, target: string): Promise<Uint8Array | null>;
  /** decrypted */
  getSecrets(tenant: TenantId, name: FunctionName): Promise<Readonly<Record<string, string>>>;
  /** Secrets, decrypted, and the version of the function that they belong to, of one moment; null without the function. */
  getVersionedSecrets(tenant: TenantId, name: FunctionName): Promise<VersionedSecrets | null>;
  /** One secret; null deletes it. @throws BerthError NOT_FOUND, LIMIT_REACHED */
  setSecret(
    tenant: TenantId,
    name: FunctionName,
    secret: { readonly name: string; readonly value: string | null; readonly max: number },
  ): Promise<FunctionRecord>;
}

export interface KeyStore {
  /** @throws BerthError NOT_FOUND without the tenant, CONFLICT when there is a key of that id, LIMIT_REACHED (keys) */
  addTenantKey(
    key: TenantKey,
    /** `live`: keys of the tenant that are not revoked; `kept`: all that are remembered. The new one is counted. */
    most?: { readonly live: number; readonly kept: number },
  ): Promise<void>;
  listTenantKeys(tenant: TenantId): Promise<readonly TenantKey[]>;
  /** @returns false when there was none */
  revokeTenantKey(tenant: TenantId, id: KeyId, at: number): Promise<boolean>;
  addPlatformKey(key: PlatformKey): Promise<void>;
  listPlatformKeys(): Promise<readonly PlatformKey[]>;
  updatePlatformKey(id: KeyId, change: Partial<Pick<PlatformKey, 'retiredAt' | 'revokedAt'>>): Promise<void>;
  /** Remembered until `expiresAt` (null: for ever). Idempotent. @throws BerthError LIMIT_REACHED, see `among` */
  revokeToken(
    jti: string,
    expiresAt: number | null,
    /** Of the ids that start with `prefix`, which ends in a slash, no more than `max` are remembered. */
    among?: { readonly prefix: string; readonly max: number },
  ): Promise<void>;
  /** Those not yet past their expiry at `now`. */
  listRevokedTokens(
    now: number,
  ): Promise<readonly { readonly jti: string; readonly expiresAt: number | null }[]>;
}

export interface LogQuery {
  readonly tenant: TenantId;
  readonly fn?: FunctionName;
  readonly invocation?: string;
  /** records with an id below this one */
  readonly before?: number;
  readonly since?: number;
  readonly limit: number;
}

export interface LogStore {
  /** Best effort by design: batched, not awaited by invocations. */
  appendLogs(records: readonly LogRecord[]): Promise<void>;
  /** newest first */
  queryLogs(query: LogQuery): Promise<readonly (LogRecord & { readonly id: number })[]>;
  /** Keeps the newest `keep` of a tenant. */
  pruneLogs(tenant: TenantId, keep: number): Promise<void>;
}

export interface UsageStore {
  /** Adds to what is there; entries of tenants that are gone are dropped. All or none. */
  addUsage(entries: readonly UsageEntry[]): Promise<void>;
  /** Of the days from `from` to `to`, both included; by day, then name. */
  readUsage(
    tenant: TenantId,
    days: { readonly from: string; readonly to: string },
  ): Promise<readonly UsageEntry[]>;
}

export interface ServiceStore {
  /** The version of each function of the tenant grows: what it finds in its secrets is not the same any more.
   *  @throws BerthError NOT_FOUND without the tenant, CONFLICT when there is one of that name, LIMIT_REACHED (services) */
  addService(service: ServiceRecord, max: number): Promise<void>;
  getService(tenant: TenantId, name: ServiceName): Promise<ServiceRecord | null>;
  /** Decrypted; by name. Those that are being deleted, too. */
  listServices(tenant: TenantId): Promise<readonly ServiceRecord[]>;
  /** Of all tenants. */
  listAllServices(): Promise<readonly ServiceRecord[]>;
  /** `deleting` is for ever, and changes the functions as `addService` does. @throws BerthError NOT_FOUND */
  setServiceWanted(
    tenant: TenantId,
    name: ServiceName,
    wanted: ServiceRecord['wanted'],
  ): Promise<ServiceRecord>;
  /** Forgets one that is marked as `deleting`. Idempotent. */
  removeService(tenant: TenantId, name: ServiceName): Promise<void>;
}

export interface Store extends TenantStore, FunctionStore, KeyStore, LogStore, UsageStore, ServiceStore {
  /** Called after each change, in order. @returns a function that removes the listener */
  onChange(listener: (change: StoreChange) => void): () => void;
  /** Throws when the database does not answer. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
