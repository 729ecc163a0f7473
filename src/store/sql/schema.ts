/** The tables, as Kysely sees them. JSON and sealed values are text, flags 0 or 1, times milliseconds since 1970. */
import type { Generated } from 'kysely';

export interface TenantsTable {
  id: string;
  name: string;
  /** `active`, `suspended`, or `gone`: deleted, with what it had still being deleted */
  state: string;
  limits: string;
  /** JSON of an EgressPolicy */
  egress: string;
  isolation: string;
  tokens_valid_from: number;
  /** Kept by the transactions that add and remove functions, so that a deploy never counts rows. */
  function_count: number;
  created_at: number;
  updated_at: number;
}

export interface FunctionsTable {
  tenant: string;
  name: string;
  access: string;
  active_revision: string | null;
  /** of the active revision, so that the routing table needs no join */
  node_range: string | null;
  env: string;
  meta: string;
  /** sealed JSON of a WebtaskRecord */
  webtask: string | null;
  version: number;
  /** The number that the newest revision got; numbers are never given twice. */
  last_number: number;
  created_at: number;
  updated_at: number;
}

export interface RevisionsTable {
  tenant: string;
  fn: string;
  id: string;
  number: number;
  form: string;
  is_form_fixed: number;
  module_kind: string;
  language: string;
  evaluate: string;
  filename: string;
  node_range: string | null;
  source_bytes: number;
  created_at: number;
}

/** Content of a tenant's revisions, each distinct content once. */
export interface CodeTable {
  tenant: string;
  /** SHA-256 of the bytes, hexadecimal */
  hash: string;
  /** `utf8`: content is the text itself; `base64`: bytes that are no text, or text with a NUL, which PostgreSQL refuses */
  encoding: string;
  content: string;
}

export interface CodeRefsTable {
  tenant: string;
  fn: string;
  revision: string;
  /** `code`, `map`, `source`, or `bytecode/` and what it is for */
  role: string;
  hash: string;
}

export interface SecretsTable {
  tenant: string;
  fn: string;
  name: string;
  sealed: string;
}

export interface TenantKeysTable {
  tenant: string;
  id: string;
  kind: string;
  sealed: string | null;
  url: string | null;
  created_at: number;
  revoked_at: number | null;
}

export interface PlatformKeysTable {
  id: string;
  sealed: string;
  created_at: number;
  retired_at: number | null;
  revoked_at: number | null;
}

export interface RevokedTokensTable {
  jti: string;
  expires_at: number | null;
}

/** What a tenant used of one thing in one day. */
export interface UsageTable {
  tenant: string;
  day: string;
  name: string;
  amount: number;
}

export interface ServicesTable {
  tenant: string;
  name: string;
  kind: string;
  /** `running`, `stopped`, or `deleting`: its volume is being removed */
  wanted: string;
  volume: string;
  memory_bytes: number;
  /** the password */
  sealed: string;
  created_at: number;
}

export interface StoreFactsTable {
  name: string;
  value: string;
}

export interface LogsTable {
  id: Generated<number>;
  at: number;
  tenant: string;
  fn: string;
  revision: string | null;
  invocation: string | null;
  source: string;
  level: string;
  text: string;
}

export interface Schema {
  tenants: TenantsTable;
  functions: FunctionsTable;
  revisions: RevisionsTable;
  code: CodeTable;
  code_refs: CodeRefsTable;
  secrets: SecretsTable;
  tenant_keys: TenantKeysTable;
  platform_keys: PlatformKeysTable;
  revoked_tokens: RevokedTokensTable;
  services: ServicesTable;
  store_facts: StoreFactsTable;
  usage: UsageTable;
  logs: LogsTable;
}
