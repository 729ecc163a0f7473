/** The server's process: settings, lock, platform, signals. `npm start` runs it. */
import { readFileSync } from 'node:fs';
import type http from 'node:http';
import type { AddressInfo } from 'node:net';
import { ConfigError } from '../config/config-error.ts';
import { type LoadedConfig, loadConfig } from '../config/load-config.ts';
import { BerthError, problemOf } from '../contracts/errors.ts';
import { createLogger } from '../telemetry/logger.ts';
import { StoreOpenError } from '../store/store-open-error.ts';
import { banner } from './banner.ts';
import { createPlatform, type Platform } from './create-platform.ts';
import { DataFolderInUse, lockDataFolder } from './platform-lock.ts';

const EXIT_USAGE = 2;
/** Past the grace time, what still hangs is not waited for: leaving is what ends the sandboxes then. */
const STOP_SLACK_MS = 20_000;
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

await main().catch(fail);

async function main(): Promise<void> {
  const { config, warnings } = loadConfig({
    argv: process.argv.slice(2),
    env: process.env,
    readFile: (path) => readFileSync(path, 'utf8'),
    cwd: process.cwd(),
  });
  const isTerminal = process.stdout.isTTY;
  const log = createLogger({
    level: config.log.level,
    destination: process.stdout,
    isPretty: isTerminal,
    hasColours: isTerminal && !process.env['NO_COLOR'],
  });
  for (const warning of warnings) log.warn(warning);
  const lock = lockDataFolder(config.dataDir);
  const platform = await createPlatform({ config, log, version });
  stopOnSignals(platform, { graceMs: config.graceMs, release: () => lock.release() });
  await listen(platform.server, config).catch(async (error: unknown) => {
    await platform.stop(0);
    throw error;
  });
  const { adminToken, facts } = platform;
  const port = (platform.server.address() as AddressInfo).port;
  process.stdout.write(
    banner({
      url: config.publicUrl ?? `http://${urlHost(config.host)}:${port}`,
      driver: facts.driver,
      newToken: adminToken.isNew ? adminToken.token : null,
      tokenFile: adminToken.file,
      gaps: [...facts.gaps.keys()].filter((gap) => !config.acceptGaps.includes(gap)),
      isTerminal,
    }),
  );
}

function listen(server: http.Server, { host, port }: LoadedConfig['config']): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const what = `cannot listen on ${host}:${port} (${error.code ?? error.message})`;
      reject(
        new ConfigError(
          [{ where: 'port', what, wayOut: 'Stop what listens there, or choose another by PORT or HOST.' }],
          { cause: error },
        ),
      );
    });
    server.listen(port, host, resolve);
  });
}

function urlHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

/** The first signal drains; a second one, a moment later, does not wait for what runs. */
function stopOnSignals(
  platform: Platform,
  { graceMs, release }: { readonly graceMs: number; readonly release: () => void },
): void {
  let stopping: Promise<void> | null = null;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping !== null) process.exit(1);
    process.stderr.write(
      `\n${signal}: letting what runs finish, up to ${graceMs / 1000} s; once more to stop at once\n`,
    );
    setTimeout(() => process.exit(1), graceMs + STOP_SLACK_MS).unref();
    stopping = platform
      .stop(graceMs)
      .then(release)
      .then(() => process.exit(0), fail);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
}

/** What the operator can mend is said in words; anything else is ours and shows its stack. */
function fail(error: unknown): void {
  process.stderr.write(`berth: ${wordsOf(error)}\n`);
  process.exit(error instanceof ConfigError ? EXIT_USAGE : 1);
}

function wordsOf(error: unknown): string {
  if (error instanceof BerthError) return `${error.message} ${problemOf(error).wayOut}`;
  const isExpected =
    error instanceof ConfigError || error instanceof StoreOpenError || error instanceof DataFolderInUse;
  if (isExpected) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
