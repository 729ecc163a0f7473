/** Where keys and revocations come from; the composition root maps the store to it. */
import type { TenantId } from '../contracts/ids.ts';
import type { PlatformKey, Tenant, TenantKey } from '../contracts/model.ts';

export interface KeySource {
  listPlatformKeys(): Promise<readonly PlatformKey[]>;
  listTenantKeys(tenant: TenantId): Promise<readonly TenantKey[]>;
  /** null: there is no such tenant */
  getTenant(id: TenantId): Promise<Pick<Tenant, 'tokensValidFrom' | 'createdAt'> | null>;
}
