/** The composition root: opens the data, makes the core and its faces over a driver, and ends them in reverse order. */
import type http from 'node:http';
import { join } from 'node:path';
import { ensureAdminToken } from '../auth/admin-token.ts';
import { refuseSharedGaps } from '../control/isolation-gaps.ts';
import type { DriverFacts } from '../drivers/driver.ts';
import { runAll } from '../kernel/run-all.ts';
import { openSqliteStore } from '../store/sqlite/open-sqlite-store.ts';
import { createAuth } from './auth-parts.ts';
import { createCore, type PlatformOptions } from './core.ts';
import { createFaces } from './create-faces.ts';
import { hostNetwork } from './egress-parts.ts';

export interface Platform {
  readonly server: http.Server;
  readonly facts: DriverFacts;
  /** Nobody has made a tenant yet. */
  readonly isUnused: boolean;
  readonly adminToken: { readonly token: string; readonly isNew: boolean; readonly file: string };
  /** Takes no new work, lets running invocations finish within the grace time, then ends every sandbox and closes the store. */
  stop(graceMs: number): Promise<void>;
  /** The supervisor is gone: `/readyz` says so from now on. Resolves when tenants' last log lines are stored. */
  lose(): Promise<void>;
}

/** @throws StoreOpenError, BerthError ISOLATION_GAP when the host or the data do not allow a start */
export async function createPlatform(options: PlatformOptions): Promise<Platform> {
  const { config, masterKey, driver, clock, log } = options;
  const store = await openSqliteStore({ dir: config.dataDir, masterKey, clock, log });
  const network = hostNetwork(config, clock);
  const resolve = (host: string): ReturnType<typeof network.resolver.addresses> =>
    network.resolver.addresses(host, 0);
  const auth = await createAuth(store, { clock, jwks: { allow: config.jwksAllow, resolve } });
  const facts = await driver.facts();
  const tenants = await store.countTenants();
  refuseSharedGaps(facts, config.acceptGaps, tenants);
  // Last of what can fail, so that a new token is also shown.
  const file = join(config.dataDir, 'admin-token');
  const adminToken = { ...(await ensureAdminToken({ file, ...auth })), file };
  const core = await createCore({ options, store, auth, facts, network });
  await core.services.open();
  const faces = await createFaces(core);
  return {
    server: faces.server,
    facts,
    isUnused: tenants === 0,
    adminToken,
    stop: (graceMs) =>
      runAll([
        () => faces.stop(() => core.sandboxes.drain(graceMs)),
        () => core.directory.close(),
        () => core.services.close(),
        () => driver.close(),
        () => core.egress.close(),
        () => core.logs.close(),
        () => core.preparer.close(),
        () => store.close(),
      ]),
    async lose() {
      faces.lose();
      await core.logs.flush();
    },
  };
}
