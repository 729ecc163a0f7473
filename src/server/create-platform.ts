/** The composition root: opens the data and the driver, makes the core and its faces, and ends them in reverse order. */
import type http from 'node:http';
import { join } from 'node:path';
import { ensureAdminToken } from '../auth/admin-token.ts';
import { refuseSharedGaps } from '../control/isolation-gaps.ts';
import type { DriverFacts } from '../drivers/driver.ts';
import { systemClock } from '../kernel/clock.ts';
import { loadMasterKey } from '../store/master-key.ts';
import { hasSqliteStore, openSqliteStore } from '../store/sqlite/open-sqlite-store.ts';
import type { Store } from '../store/store.ts';
import { createAuth } from './auth-parts.ts';
import { createCore, type PlatformOptions } from './core.ts';
import { createFaces } from './create-faces.ts';
import { openDriver } from './open-driver.ts';
import { removeRunDir } from './run-dir.ts';

export interface Platform {
  readonly server: http.Server;
  readonly facts: DriverFacts;
  readonly adminToken: { readonly token: string; readonly isNew: boolean; readonly file: string };
  /** Takes no new work, lets running invocations finish within the grace time, then ends every sandbox and closes the store. */
  stop(graceMs: number): Promise<void>;
}

const clock = systemClock;

/** @throws ConfigError, StoreOpenError, BerthError ISOLATION_GAP when the host or the data do not allow a start */
export async function createPlatform(options: PlatformOptions): Promise<Platform> {
  const { config } = options;
  const store = await openStore(options);
  const auth = await createAuth(store, { clock, jwksAllow: config.jwksAllow });
  const opened = await openDriver(options);
  refuseSharedGaps(opened.facts, config.acceptGaps, await store.countTenants());
  // Last of what can fail, so that a new token is also shown.
  const file = join(config.dataDir, 'admin-token');
  const adminToken = { ...(await ensureAdminToken({ file, ...auth })), file };
  const core = await createCore({ options, store, auth, opened });
  const faces = await createFaces(core);
  return {
    server: faces.server,
    facts: opened.facts,
    adminToken,
    async stop(graceMs) {
      await faces.stop(() => core.sandboxes.drain(graceMs));
      core.directory.close();
      await opened.driver.close();
      await removeRunDir(opened.runDir);
      await core.logs.close();
      await core.preparer.close();
      await store.close();
    },
  };
}

async function openStore({ config, log }: PlatformOptions): Promise<Store> {
  const dir = config.dataDir;
  const masterKey = await loadMasterKey({
    file: join(dir, 'master-key'),
    value: config.masterKey?.reveal() ?? config.masterKeyFile ?? undefined,
    mayCreate: !hasSqliteStore(dir),
  });
  return openSqliteStore({ dir, masterKey, clock, log });
}
