/** What operators and tenants can do with the platform, apart from calling functions. API and webtask face both use it. */
import type { EgressPolicy } from '../contracts/egress.ts';
import type { Form, ModuleKind } from '../contracts/forms.ts';
import type { FunctionName, KeyId, RevisionId, ServiceName, TenantId } from '../contracts/ids.ts';
import type { IsolationTier } from '../contracts/isolations.ts';
import type { LimitOverrides, Limits } from '../contracts/limits.ts';
import type { FunctionRecord, Revision, Tenant, UsageEntry } from '../contracts/model.ts';
import type { ServiceState } from '../services/services.ts';
import type { FunctionSettings, Page } from '../store/store.ts';

export interface DeployRequest {
  readonly tenant: TenantId;
  readonly fn: FunctionName;
  readonly source: Uint8Array;
  readonly filename?: string;
  readonly entry?: string;
  readonly moduleKind?: ModuleKind;
  readonly form?: Form;
  readonly sourceMap?: Uint8Array;
  /** `engines.node` of its package.json */
  readonly nodeRange?: string;
  readonly settings: FunctionSettings;
}

export interface Deployed {
  readonly fn: FunctionRecord;
  readonly revision: Revision;
}

/** A tenant key as users see it: never its secret. */
export interface TenantKeyView {
  readonly id: KeyId;
  readonly kind: 'hs256' | 'jwks' | 'jwe';
  readonly url?: string;
  readonly createdAt: number;
  readonly revokedAt: number | null;
}

/** A service as users see it: never its password, which functions find in their secrets. */
export interface ServiceView {
  readonly tenant: TenantId;
  readonly name: ServiceName;
  readonly kind: string;
  readonly state: ServiceState;
  /** Why it does not run although it should. */
  readonly reason: string | null;
  /** Where functions of the tenant, and nobody else, reach it. */
  readonly host: string;
  /** null: the operator has taken its kind from the list */
  readonly port: number | null;
  /** Names of the secrets that lead to it. */
  readonly secrets: readonly string[];
  readonly memoryBytes: number;
  /** What it keeps on the disk, as it was seen last; null: not yet. */
  readonly diskBytes: number | null;
  readonly createdAt: number;
}

export interface Control {
  /** @throws BerthError CONFLICT, ISOLATION_GAP when the driver's facts allow only one tenant, ISOLATION_UNAVAILABLE */
  createTenant(tenant: {
    readonly id: TenantId;
    readonly name?: string;
    readonly limits?: LimitOverrides;
    readonly egress?: EgressPolicy;
    readonly isolation?: IsolationTier;
  }): Promise<Tenant>;
  getTenant(id: TenantId): Promise<Tenant>;
  listTenants(page: Page): Promise<readonly Tenant[]>;
  /** Limits and egress are replaced as a whole and take effect on live sandboxes before this resolves; suspending kills the tenant's
   *  sandboxes; another isolation replaces them. @throws BerthError ISOLATION_UNAVAILABLE */
  updateTenant(
    id: TenantId,
    change: {
      readonly name?: string;
      readonly state?: Tenant['state'];
      readonly limits?: LimitOverrides;
      readonly egress?: EgressPolicy;
      readonly isolation?: IsolationTier;
    },
  ): Promise<Tenant>;
  deleteTenant(id: TenantId): Promise<void>;
  /** The limits in force for a tenant. */
  limitsOf(tenant: Tenant): Limits;
  /** What the tenant used in the last `days` days (UTC), today included; by day. */
  usage(id: TenantId, days: number): Promise<readonly UsageEntry[]>;

  /** Atomic: on any error nothing was changed. @throws BerthError CODE_INVALID, CODE_TOO_LARGE, FORM_UNKNOWN, NODE_UNAVAILABLE, NOT_FOUND, LIMIT_REACHED */
  deploy(request: DeployRequest): Promise<Deployed>;
  getFunction(tenant: TenantId, name: FunctionName): Promise<FunctionRecord>;
  listFunctions(tenant: TenantId, page: Page): Promise<readonly FunctionRecord[]>;
  updateFunction(tenant: TenantId, name: FunctionName, settings: FunctionSettings): Promise<FunctionRecord>;
  deleteFunction(tenant: TenantId, name: FunctionName): Promise<void>;
  listRevisions(tenant: TenantId, name: FunctionName): Promise<readonly Revision[]>;
  getRevision(tenant: TenantId, name: FunctionName, id: RevisionId): Promise<Revision>;
  /** As deployed. */
  getSource(tenant: TenantId, name: FunctionName, id: RevisionId): Promise<Uint8Array>;
  activate(tenant: TenantId, name: FunctionName, id: RevisionId): Promise<FunctionRecord>;
  /** Activates the revision that was deployed before the active one. @throws BerthError NOT_FOUND when there is none */
  rollback(tenant: TenantId, name: FunctionName): Promise<FunctionRecord>;
  listSecretNames(tenant: TenantId, name: FunctionName): Promise<readonly string[]>;
  getSecrets(tenant: TenantId, name: FunctionName): Promise<Readonly<Record<string, string>>>;
  setSecret(
    tenant: TenantId,
    name: FunctionName,
    secret: { readonly name: string; readonly value: string | null },
  ): Promise<FunctionRecord>;

  /** Resolves when it runs; it is called as its kind is when it has no name. @throws BerthError NOT_FOUND, CONFLICT,
   *  LIMIT_REACHED, SERVICE_KIND_UNKNOWN, SERVICE_IMAGE_MISSING, SERVICES_UNAVAILABLE, SERVICE_START_FAILED */
  createService(
    tenant: TenantId,
    request: { readonly kind: string; readonly name?: ServiceName; readonly memoryBytes?: number },
  ): Promise<ServiceView>;
  listServices(tenant: TenantId): Promise<readonly ServiceView[]>;
  startService(tenant: TenantId, name: ServiceName): Promise<ServiceView>;
  /** Its data stays. */
  stopService(tenant: TenantId, name: ServiceName): Promise<ServiceView>;
  /** With its data. */
  deleteService(tenant: TenantId, name: ServiceName): Promise<void>;

  listKeys(tenant: TenantId): Promise<readonly TenantKeyView[]>;
  /** hs256 and jwe: `secret` is at least 32 bytes (jwe: exactly 32), base64url; made here and returned once when left out. */
  addKey(
    tenant: TenantId,
    key:
      | { readonly kind: 'hs256' | 'jwe'; readonly id?: KeyId; readonly secret?: string }
      | { readonly kind: 'jwks'; readonly id?: KeyId; readonly url: string },
  ): Promise<TenantKeyView & { readonly secret?: string }>;
  revokeKey(tenant: TenantId, id: KeyId): Promise<void>;
  issueToken(
    tenant: TenantId,
    request: {
      readonly scopes: readonly ('manage' | 'run')[];
      readonly fn?: FunctionName;
      readonly expiresInSeconds?: number;
    },
  ): Promise<{ readonly token: string; readonly jti: string }>;
  /**
   * By token id; takes effect at once. Of `tenant`: only tokens of that tenant are met; null: any that the platform issued.
   * @throws BerthError LIMIT_REACHED (revokedTokens of the tenant), NOT_FOUND without the tenant
   */
  revokeToken(tenant: TenantId | null, jti: string, expiresAt: number | null): Promise<void>;
  /** Refuses all tokens of the tenant issued until now. */
  revokeAllTokens(tenant: TenantId): Promise<void>;
  /** All sandboxes are made anew of what the driver now has (a patched Node). @returns the versions of Node of now */
  rollout(): Promise<{ readonly nodeVersions: readonly string[] }>;
  /** A new platform key signs from now on; the old ones go on verifying until revoked. */
  rotatePlatformKey(): Promise<{ readonly id: KeyId }>;
  /** Refuses at once all tokens made with it. Idempotent. @throws BerthError NOT_FOUND, KEY_IN_USE when it is the one that signs */
  revokePlatformKey(id: KeyId): Promise<void>;
}
