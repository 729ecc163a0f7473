/**
 * The server's process: gateway, API and store. The supervisor starts it, as an unprivileged user where it can, and hands
 * it settings and master key on standard input, the line of the driver, a descriptor to say that it serves and the socket on
 * which clients call.
 */
import { closeSync, fstatSync, readFileSync, writeSync } from 'node:fs';
import type http from 'node:http';
import { type AddressInfo, Socket } from 'node:net';
import { ConfigError } from '../config/config-error.ts';
import type { Config } from '../config/settings.ts';
import { createRemoteDriver } from '../drivers/remote/remote-driver.ts';
import { systemClock } from '../kernel/clock.ts';
import { fail } from '../supervisor/failure-words.ts';
import { type Handover, readHandover } from '../supervisor/handover.ts';
import { listenProblem } from '../supervisor/public-socket.ts';
import { DRIVER_FD, PUBLIC_FD, READY_FD } from '../supervisor/server-process.ts';
import { createLogger } from '../telemetry/logger.ts';
import { banner } from './banner.ts';
import { createPlatform, type Platform } from './create-platform.ts';

/** Connections in the kernel's queue: those of a few seconds, while a server that has died is replaced. net.core.somaxconn caps it. */
const MAX_WAITING_CONNECTIONS = 4_096;
/** EX_TEMPFAIL of sysexits(3): who runs the platform may start it again. */
const EXIT_SUPERVISOR_LOST = 75;
/** How long `/readyz` goes on saying why nothing runs, when the supervisor is gone. */
const LOST_MS = 250;
/** Past the grace time, what still hangs is not waited for: leaving is what ends the sandboxes then. */
const STOP_SLACK_MS = 20_000;
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

await main().catch(fail);

async function main(): Promise<void> {
  requireSupervisor();
  const handover = await readHandover(process.stdin);
  const { config } = handover;
  const isTerminal = process.stdout.isTTY;
  const log = createLogger({
    level: config.log.level,
    destination: process.stdout,
    isPretty: isTerminal,
    hasColours: isTerminal && !process.env['NO_COLOR'],
  });
  let platform: Platform | null = null;
  const driver = createRemoteDriver({
    name: handover.driver,
    socket: new Socket({ fd: DRIVER_FD }),
    onLost: () => void leaveWithoutSupervisor(platform),
  });
  const { masterKey, channelsDir } = handover;
  platform = await createPlatform({
    config,
    masterKey,
    driver,
    channelsDir,
    clock: systemClock,
    log,
    version,
  });
  stopOnSignals(platform, config.graceMs);
  await listen(platform.server, config).catch(async (error: unknown) => {
    await platform.stop(0);
    throw error;
  });
  if (handover.isRestart) log.info({}, 'the server serves again');
  else welcome(handover, platform, isTerminal);
  writeSync(READY_FD, '\n');
  closeSync(READY_FD);
}

/** Started by hand it would lack everything. @throws ConfigError */
function requireSupervisor(): void {
  try {
    if (fstatSync(DRIVER_FD).isSocket()) return;
  } catch {
    // No such descriptor: the same as one that is something else.
  }
  throw new ConfigError([
    { where: 'server', what: 'this process is started by the supervisor', wayOut: 'Run: npm start' },
  ]);
}

function welcome({ config }: Handover, platform: Platform, isTerminal: boolean): void {
  const { server, facts, isUnused, adminToken } = platform;
  const { port } = server.address() as AddressInfo;
  process.stdout.write(
    banner({
      url: config.publicUrl ?? `http://${urlHost(config.host)}:${port}`,
      driver: facts.driver,
      newToken: adminToken.isNew ? adminToken.token : null,
      tokenFile: adminToken.file,
      gaps: [...facts.gaps.keys()].filter((gap) => !config.acceptGaps.includes(gap)),
      isUnused,
      isTerminal,
    }),
  );
}

/** On the socket that the supervisor has bound. @throws ConfigError */
function listen(server: http.Server, config: Config): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenProblem(error, config)));
    server.listen({ fd: PUBLIC_FD, backlog: MAX_WAITING_CONNECTIONS }, resolve);
  });
}

function urlHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

/** The first signal drains; a second one, a moment later, does not wait for what runs. */
function stopOnSignals(platform: Platform, graceMs: number): void {
  let stopping: Promise<void> | null = null;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping !== null) process.exit(1);
    process.stderr.write(
      `\n${signal}: letting what runs finish, up to ${graceMs / 1000} s; once more to stop at once\n`,
    );
    setTimeout(() => process.exit(1), graceMs + STOP_SLACK_MS).unref();
    stopping = platform.stop(graceMs).then(() => process.exit(0), fail);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
}

/** The sandboxes have died with it, and nobody is left who could make others. */
async function leaveWithoutSupervisor(platform: Platform | null): Promise<void> {
  process.stderr.write(
    'berth: the supervisor ended, and all sandboxes with it; this server ends too. Start the platform again: npm start\n',
  );
  setTimeout(() => process.exit(EXIT_SUPERVISOR_LOST), LOST_MS);
  await platform?.lose();
}
