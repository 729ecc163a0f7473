/** Puts the supervisor together: data folder, driver, and how a server is started and served. */
import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/settings.ts';
import type { Driver } from '../drivers/driver.ts';
import type { DriverLog } from '../drivers/driver-log.ts';
import { systemClock } from '../kernel/clock.ts';
import { NO_PRETENURING } from '../kernel/node-flags.ts';
import { loadMasterKey, type MasterKey } from '../store/master-key.ts';
import { hasSqliteStore } from '../store/sqlite/sqlite-files.ts';
import { ChannelFolder } from './channel-folder.ts';
import { confinement, serverNeeds } from './confinement.ts';
import { giveDataFolder } from './data-folder.ts';
import { type DeathWatch, startDeathWatch } from './death-watch.ts';
import { DriverSession } from './driver-session.ts';
import { encodeHandover } from './handover.ts';
import { openDriver } from './open-driver.ts';
import { PublicSocket } from './public-socket.ts';
import { makeRunDir, removeRunDir, runDirFor } from './run-dir.ts';
import { type KeeperLog, ServerKeeper } from './server-keeper.ts';
import { type ServerProcess, startServer } from './server-process.ts';
import { ServerRecord } from './server-record.ts';
import { type ServerUser, serverUserOf } from './server-user.ts';

export type SupervisorLog = KeeperLog & DriverLog;

export interface SupervisorOptions {
  readonly config: Config;
  readonly log: SupervisorLog;
  /** Where `src` and `node_modules` are. */
  readonly projectRoot: string;
}

export interface Supervisor {
  readonly keeper: ServerKeeper;
  /** Lets the server finish and end; who calls from now on is refused. */
  stop(signal: NodeJS.Signals): void;
  /** When the server has ended: removes all that the supervisor made on the host. */
  close(): Promise<void>;
}

/** What each start of a server needs. */
interface Ground {
  readonly options: SupervisorOptions;
  readonly user: ServerUser;
  readonly runDir: string;
  readonly masterKey: MasterKey;
  readonly driver: Driver;
  readonly channels: ChannelFolder;
  readonly record: ServerRecord;
  readonly publicSocket: PublicSocket;
  readonly watch: DeathWatch;
}

/** @throws ConfigError, StoreOpenError when host or data do not allow a start */
export async function createSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const { config, log } = options;
  const ground = await prepare(options);
  const { driver, channels, runDir, publicSocket, watch } = ground;
  const keeper = new ServerKeeper({
    clock: systemClock,
    log,
    start: (isRestart) => start(ground, isRestart),
    serve: ({ socket }, onBreach) =>
      new DriverSession({ socket, driver, channels, maxSandboxes: config.maxSandboxes, log, onBreach }),
    cleanUp: () => sweep(ground),
  });
  return {
    keeper,
    stop(signal) {
      publicSocket.close();
      keeper.stop(signal);
    },
    async close() {
      publicSocket.close();
      await driver.close();
      watch.release();
      if (channels.close()) await removeRunDir(runDir);
    },
  };
}

async function prepare(options: SupervisorOptions): Promise<Ground> {
  const { config, log } = options;
  const ownUid = process.geteuid!();
  const user = serverUserOf(config.serverUid, ownUid);
  const masterKey = await loadMasterKey({
    file: join(config.dataDir, 'master-key'),
    value: config.masterKey?.reveal() ?? config.masterKeyFile ?? undefined,
    mayCreate: !hasSqliteStore(config.dataDir),
  });
  const runDir = runDirFor({
    dataDir: config.dataDir,
    uid: ownUid,
    runtimeDir: process.env['XDG_RUNTIME_DIR'],
  });
  makeRunDir(runDir, ownUid);
  const record = new ServerRecord(runDir);
  await record.endLeftover();
  const publicSocket = new PublicSocket(config);
  const channels = new ChannelFolder({ runDir, serverUid: user.uid });
  const driver = await openDriver({ config, runDir, log });
  const watch = startDeathWatch(runDir, log);
  const ground = { options, user, runDir, masterKey, driver, channels, record, publicSocket, watch };
  sweep(ground);
  if (user.isSeparate) giveDataFolder(config.dataDir, user.uid);
  return ground;
}

async function start(ground: Ground, isRestart: boolean): Promise<ServerProcess> {
  const { options, masterKey, driver, channels, record, publicSocket } = ground;
  const { projectRoot } = options;
  const config = { ...options.config, dataDir: realpathSync(options.config.dataDir) };
  const program = [process.execPath, NO_PRETENURING, join(projectRoot, 'src/server/main.ts')] as const;
  const server = await startServer({
    words: wordsBefore(ground, config.dataDir, program),
    env: process.env,
    publicFd: publicSocket.fd,
    handover: encodeHandover({
      config,
      masterKey,
      driver: driver.name,
      channelsDir: channels.path,
      isRestart,
    }),
  });
  await record.write(server.pid);
  return server;
}

function wordsBefore(
  { options, user, runDir }: Ground,
  dataDir: string,
  program: readonly [string, ...string[]],
): readonly [string, ...string[]] {
  if (!user.isSeparate) return program;
  const stashDir = join(runDir, 'stash');
  mkdirSync(stashDir, { recursive: true, mode: 0o700 });
  const needs = serverNeeds({ projectRoot: options.projectRoot, nodePath: process.execPath, dataDir });
  const [first, ...rest] = confinement({ uid: user.uid, needs, stashDir });
  return [first!, ...rest, ...program];
}

function sweep({ channels, options }: Ground): void {
  const left = channels.sweep();
  if (left.length > 0)
    options.log.warn({ left }, 'the server left things in the folder of channels that cannot be removed');
}
