/** 1,000 functions of 100 tenants, each in its own sandbox, against one function; and what 1,000 processes cost as such. */
import type { TestPlatform } from '../../test/support/platform.ts';
import { addTenant, deployMany, helloSource, portOf, startBerth } from '../harness/berth.ts';
import { callAll } from '../harness/calls.ts';
import { echoesPerSecond, startEchoes } from '../harness/echoes.ts';
import { type BenchContext, check, type Outcome, type Row } from '../harness/outcome.ts';
import { alternate, of } from '../harness/rounds.ts';
import { median, ratios } from '../harness/statistics.ts';
import { load, type LoadOptions } from '../harness/wrk.ts';

const TENANTS = 100;
const FUNCTIONS_PER_TENANT = 10;
const SETTINGS = { BERTH_MAX_SANDBOXES: '1100' };
const OPTIONS: LoadOptions = { seconds: 5 };
const ECHOES = { one: 1, many: TENANTS * FUNCTIONS_PER_TENANT };
const ECHO_LOAD = { seconds: 3, inFlight: 32 };

export const says = 'requests a second over 1,000 functions of 100 tenants against one function';

export async function measure(context: BenchContext): Promise<Outcome> {
  // Both at once would not fit into the memory.
  const bare = await measureEchoes(context);
  const outcome = await measureFunctions(context);
  return { rows: [...outcome.rows, ...bare], checks: outcome.checks };
}

async function measureEchoes({ scope, rounds, say }: BenchContext): Promise<Row[]> {
  say('1,000 processes that give back what they get');
  await using own = scope.use(new AsyncDisposableStack());
  const sockets = await startEchoes(own, ECHOES.many);
  const sides = Object.values(ECHOES).map((count) => ({
    name: `echo, ${count.toLocaleString('en')} bare process${count === 1 ? '' : 'es'}`,
    measure: () => echoesPerSecond(sockets.slice(0, count), ECHO_LOAD),
  }));
  for (const side of sides) await side.measure();
  const measured = await alternate(sides, rounds, say);
  return [...measured].map(([label, perSecond]) => ({ label, unit: 'messages/s', rounds: perSecond }));
}

async function measureFunctions({ scope, rounds, say }: BenchContext): Promise<Outcome> {
  const platform = await startBerth(scope, SETTINGS);
  say('deploying 1,000 functions and calling each once');
  const paths = await deployAll(platform);
  await callAll(platform.url, paths);
  const port = portOf(platform);
  const targets = {
    'one function': { port, requests: [{ path: paths[0]! }] },
    '1,000 functions': { port, requests: spread(paths).map((path) => ({ path })) },
  };
  say('warming up');
  for (const target of Object.values(targets)) await load(target, OPTIONS);
  const sides = Object.entries(targets).map(([name, target]) => ({
    name,
    measure: () => load(target, OPTIONS),
  }));
  const measured = await alternate(sides, rounds, say);
  const perSecond = (name: string): number[] => of(measured, name).map((result) => result.perSecond);
  return {
    rows: [...measured].map(([label, results]) => ({
      label,
      unit: 'requests/s',
      rounds: perSecond(label),
      p50Ms: median(results.map(({ p50Ms }) => p50Ms)),
      p99Ms: median(results.map(({ p99Ms }) => p99Ms)),
    })),
    checks: [
      check('1,000 functions / one', ratios(perSecond('1,000 functions'), perSecond('one function')), {
        bound: 'at least',
        target: 0.6,
        unit: '×',
      }),
    ],
  };
}

async function deployAll(platform: TestPlatform): Promise<string[]> {
  const paths: string[] = [];
  for (let number = 0; number < TENANTS; number++) {
    const tenant = `t${number}`;
    await addTenant(platform, tenant);
    paths.push(...(await deployMany(platform, { tenant, count: FUNCTIONS_PER_TENANT, source: helloSource })));
  }
  return paths;
}

/** Each request to another tenant than the one before. */
function spread(paths: readonly string[]): string[] {
  return paths.map((_, index) => {
    const tenant = index % TENANTS;
    const fn = Math.floor(index / TENANTS);
    return paths[tenant * FUNCTIONS_PER_TENANT + fn]!;
  });
}
