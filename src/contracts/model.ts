/** The records of the platform, as store, control, API and CLI know them. Times are milliseconds since 1970. */
import type { EgressPolicy } from './egress.ts';
import type { Form, ModuleKind } from './forms.ts';
import type { FunctionName, KeyId, RevisionId, ServiceName, TenantId, VolumeId } from './ids.ts';
import type { IsolationTier } from './isolations.ts';
import type { LimitOverrides } from './limits.ts';

export interface Tenant {
  readonly id: TenantId;
  readonly name: string;
  readonly state: 'active' | 'suspended';
  readonly limits: LimitOverrides;
  /** Where its code may connect to. */
  readonly egress: EgressPolicy;
  /** How strong the wall around its sandboxes is. */
  readonly isolation: IsolationTier;
  /** Tokens of this tenant issued before this time (whole seconds count) are refused. 0: none. */
  readonly tokensValidFrom: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** Who may call a function: everybody, or who has a token with the right to run it. */
export type Access = 'public' | 'token';

export interface FunctionRecord {
  readonly tenant: TenantId;
  readonly name: FunctionName;
  readonly access: Access;
  /** null after a create without code; then calls answer NOT_FOUND */
  readonly activeRevision: RevisionId | null;
  /** of the active revision */
  readonly nodeRange: string | null;
  readonly env: Readonly<Record<string, string>>;
  /** webtask's metadata: free string pairs */
  readonly meta: Readonly<Record<string, string>>;
  /** What only the webtask face keeps: issued token, claims, parse-body flags. null for functions deployed otherwise. */
  readonly webtask: WebtaskRecord | null;
  /** Grows with each change of secrets, env, meta, access or active revision; sandboxes of an older one are replaced. */
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface WebtaskRecord {
  readonly token: string;
  readonly jti: string;
  readonly parseBody: 0 | 1 | 2;
  readonly mergeBody: boolean;
  readonly params: Readonly<Record<string, string>>;
  /** custom domain asked for, if any */
  readonly host: string | null;
}

export type Language = 'javascript' | 'typescript';

export interface Revision {
  readonly id: RevisionId;
  readonly tenant: TenantId;
  readonly fn: FunctionName;
  /** 1, 2, 3 … within the function */
  readonly number: number;
  readonly form: Form;
  /** True when the form was set by hand. */
  readonly isFormFixed: boolean;
  readonly moduleKind: ModuleKind;
  readonly language: Language;
  readonly evaluate: 'script' | 'module';
  readonly filename: string;
  /** `engines.node` of the package.json that it was deployed with; null: any Node will do */
  readonly nodeRange: string | null;
  readonly sourceBytes: number;
  readonly createdAt: number;
}

/** What a revision starts from; made at deploy, never changed. */
export interface PreparedCode {
  readonly code: Uint8Array;
  readonly sourceMap: Uint8Array | null;
  /** The text as it was deployed: what webtask clients fetch and users see. */
  readonly source: Uint8Array;
}

/** V8's code cache of a revision's script: what sandboxes need not compile then. */
export interface Bytecode {
  /** Node and processor that it is for, as in `24.21.0-x64`. */
  readonly target: string;
  readonly bytes: Uint8Array;
}

/** A key with which a tenant's own back end signs or encrypts tokens. Secret material only inside store and auth. */
export type TenantKey =
  | {
      readonly kind: 'hs256';
      readonly id: KeyId;
      readonly tenant: TenantId;
      readonly secret: Uint8Array;
      readonly createdAt: number;
      readonly revokedAt: number | null;
    }
  | {
      readonly kind: 'jwks';
      readonly id: KeyId;
      readonly tenant: TenantId;
      readonly url: string;
      readonly createdAt: number;
      readonly revokedAt: number | null;
    }
  | {
      readonly kind: 'jwe';
      readonly id: KeyId;
      readonly tenant: TenantId;
      readonly secret: Uint8Array;
      readonly createdAt: number;
      readonly revokedAt: number | null;
    };

/** A key of the platform's own ring. The newest that is not retired signs; all that are not revoked verify. */
export interface PlatformKey {
  readonly id: KeyId;
  readonly secret: Uint8Array;
  readonly createdAt: number;
  readonly retiredAt: number | null;
  readonly revokedAt: number | null;
}

/** A program that keeps data for one tenant. Its password is secret material: only inside store and services. */
export interface ServiceRecord {
  readonly tenant: TenantId;
  readonly name: ServiceName;
  /** One of the operator's list. */
  readonly kind: string;
  /** `deleting`: it is no more; its volume is being removed. */
  readonly wanted: 'running' | 'stopped' | 'deleting';
  readonly volume: VolumeId;
  readonly memoryBytes: number;
  readonly password: string;
  readonly createdAt: number;
}

export type LogSource = 'console' | 'error' | 'platform';

export interface LogRecord {
  readonly at: number;
  readonly tenant: TenantId;
  readonly fn: FunctionName;
  readonly revision: RevisionId | null;
  readonly invocation: string | null;
  readonly source: LogSource;
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly text: string;
}

/** What is counted by day. */
export const usageNames = ['egressConnections', 'egressRefused', 'egressBytesIn', 'egressBytesOut'] as const;
export type UsageName = (typeof usageNames)[number];

export interface UsageEntry {
  readonly tenant: TenantId;
  /** ISO 8601, UTC: 2026-01-31 */
  readonly day: string;
  readonly name: UsageName;
  readonly amount: number;
}
