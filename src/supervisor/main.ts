/**
 * The platform's first process, root where the host allows it: owns the driver, makes and kills sandboxes, keeps the server
 * running, and does nothing else. It binds the port for the server, and parses nothing that a tenant sent. `npm start` runs it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '../config/load-config.ts';
import { createLogger } from '../telemetry/logger.ts';
import { fail } from './failure-words.ts';
import { lockDataFolder } from './platform-lock.ts';
import { createSupervisor, type Supervisor } from './create-supervisor.ts';

/** More than the server gives itself beyond the grace time. */
const STOP_SLACK_MS = 25_000;
const projectRoot = join(import.meta.dirname, '../..');

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
  const supervisor = await createSupervisor({ config, log, projectRoot });
  stopOnSignals(supervisor, config.graceMs);
  const code = await supervisor.keeper.run();
  await supervisor.close();
  lock.release();
  process.exit(code);
}

/** The first signal lets the server drain; a second one, a moment later, does not wait for what runs. */
function stopOnSignals(supervisor: Supervisor, graceMs: number): void {
  let isStopping = false;
  const leave = (): never => {
    supervisor.keeper.kill();
    process.exit(1);
  };
  const stop = (signal: NodeJS.Signals): void => {
    if (isStopping) leave();
    isStopping = true;
    setTimeout(leave, graceMs + STOP_SLACK_MS).unref();
    supervisor.stop(signal);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
}
