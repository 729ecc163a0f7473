/** `npm run bench`: measures Berth against its peers, prints tables, and writes JSON. See README.md. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import * as cold from './figures/cold.ts';
import * as density from './figures/density.ts';
import * as deploy from './figures/deploy.ts';
import * as many from './figures/many.ts';
import * as neighbour from './figures/neighbour.ts';
import * as stream from './figures/stream.ts';
import * as warm from './figures/warm.ts';
import { readFacts } from './harness/machine.ts';
import { isMet, type Figure, type Outcome } from './harness/outcome.ts';
import { ensurePeers } from './harness/peers.ts';
import { printOutcome } from './harness/table.ts';
import { ensureWrk } from './harness/wrk.ts';

const figures: Readonly<Record<string, Figure>> = { warm, cold, many, neighbour, density, stream, deploy };
const LEAST_ROUNDS = 1;
const DEFAULT_ROUNDS = 5;
const USAGE_EXIT_CODE = 64;
const INTERRUPTED_EXIT_CODE = 130;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

const help = `npm run bench -- [figure…] [--rounds N] [--driver NAME] [--json FILE]

Figures (left out: all):
${Object.entries(figures)
  .map(([name, { says }]) => `  ${name.padEnd(8)} ${says}`)
  .join('\n')}

  --rounds N   rounds of each side, alternating (${DEFAULT_ROUNDS}; results that are kept have at least 5)
  --driver NAME  jail, docker (which is docker+runc) or docker+runsc, on the engine of DOCKER_HOST (jail)
  --json FILE  where the results go (bench/out/<time>.json)
  --help       this text

Peers are installed from npm into bench/peers when they are missing, Debian's wrk with apt-get.`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      driver: { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const names = positionals.length === 0 || positionals.includes('all') ? Object.keys(figures) : positionals;
  const unknown = names.find((name) => figures[name] === undefined);
  const rounds = Number(values.rounds ?? DEFAULT_ROUNDS);
  if (values.driver !== undefined)
    process.env['BERTH_TEST_DRIVER'] = values.driver === 'docker' ? 'docker+runc' : values.driver;
  if (values.help === true) {
    console.log(help);
    return 0;
  }
  if (unknown !== undefined || !Number.isInteger(rounds) || rounds < LEAST_ROUNDS) {
    console.error(`${unknown === undefined ? '--rounds is no number' : `no figure ${unknown}`}\n\n${help}`);
    return USAGE_EXIT_CODE;
  }
  return measureAll(names, { rounds, ...(values.json === undefined ? {} : { json: values.json }) });
}

async function measureAll(
  names: readonly string[],
  options: { readonly rounds: number; readonly json?: string },
): Promise<number> {
  ensureWrk(say);
  ensurePeers(say);
  const facts = readFacts();
  const outcomes: Record<string, Outcome> = {};
  for (const name of names) {
    say(`== ${name}`);
    outcomes[name] = await measureOne(figures[name]!, options.rounds);
    printOutcome(name, outcomes[name]);
  }
  const file = options.json ?? `bench/out/${facts.at.replaceAll(/[:.]/g, '-')}.json`;
  mkdirSync(dirname(file), { recursive: true });
  const results = { ...facts, rounds: options.rounds, figures: outcomes };
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  const missed = Object.values(outcomes).flatMap(({ checks }) => checks.filter((check) => !isMet(check)));
  console.log(`\n${missed.length} missed. Results: ${file}`);
  return 0;
}

async function measureOne(figure: Figure, rounds: number): Promise<Outcome> {
  await using scope = new AsyncDisposableStack();
  const stop = async (): Promise<void> => {
    await scope.disposeAsync();
    process.exit(INTERRUPTED_EXIT_CODE);
  };
  const onSignal = (): void => void stop();
  for (const signal of SIGNALS) process.once(signal, onSignal);
  const outcome = await figure.measure({ scope, rounds, say });
  for (const signal of SIGNALS) process.off(signal, onSignal);
  return outcome;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

process.exitCode = await main();
