/**
 * The platform in one process, on a clock that jumps: each SIGUSR2 moves the time of day by the next of `JUMPS`. Nothing
 * else is changed: what measures goes by the monotonic clock, which cannot jump.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '../../src/config/load-config.ts';
import { createJailDriver } from '../../src/drivers/jail/jail-driver.ts';
import { type Clock, systemClock } from '../../src/kernel/clock.ts';
import { buildRuntimeBundle } from '../../src/modules/runtime-bundle.ts';
import { createPlatform } from '../../src/server/create-platform.ts';
import { loadMasterKey } from '../../src/store/master-key.ts';
import { makeRunDir, removeRunDir, runDirFor } from '../../src/supervisor/run-dir.ts';
import { createLogger } from '../../src/telemetry/logger.ts';

const HOUR_MS = 3_600_000;
/** Forward, back, far forward (a battery that ran out), far back. */
const JUMPS = [HOUR_MS, -2 * HOUR_MS, 24 * 365 * HOUR_MS, -2 * 24 * 365 * HOUR_MS];

let offsetMs = 0;
const clock: Clock = { ...systemClock, now: () => systemClock.now() + offsetMs };
const { config } = loadConfig({ argv: [], env: process.env, readFile: () => '', cwd: process.cwd() });
const log = createLogger({ level: 'warn', destination: process.stdout });
const { dataDir } = config;
const runDir = runDirFor({ dataDir, uid: process.geteuid!(), runtimeDir: process.env['XDG_RUNTIME_DIR'] });
makeRunDir(runDir, process.geteuid!());
const channelsDir = join(runDir, 'channels');
mkdirSync(channelsDir, { mode: 0o711 });
const cache = join(dataDir, 'cache');
const runtimeFile = await buildRuntimeBundle({ outDir: cache });
const driver = createJailDriver({
  runDir,
  rootDir: join(cache, 'root'),
  nodePath: process.execPath,
  runtimeFile,
  log,
});
const masterKey = await loadMasterKey({ file: join(dataDir, 'master-key') });
const platform = await createPlatform({
  config,
  masterKey,
  driver,
  channelsDir,
  clock,
  log,
  version: 'chaos',
});
platform.server.listen(config.port, config.host);

process.on('SIGUSR2', () => {
  offsetMs += JUMPS.shift() ?? 0;
});
process.once('SIGTERM', async () => {
  await platform.stop(config.graceMs);
  await removeRunDir(runDir);
  process.exit(0);
});
