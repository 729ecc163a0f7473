/** Requests to a function that runs already: throughput against peers, what a token costs, what latency is added. */
import type { BenchContext, Check, Outcome, Row } from '../harness/outcome.ts';
import { check } from '../harness/outcome.ts';
import { alternate, of } from '../harness/rounds.ts';
import { median, paired, ratios } from '../harness/statistics.ts';
import { load, type Load, type LoadOptions, type Target } from '../harness/wrk.ts';
import { startSides } from './warm-sides.ts';

const FULL: LoadOptions = { seconds: 3 };
const WARM_UP: LoadOptions = { seconds: 2 };
/** 32 connections that pause 32 ms on average: 1,000 requests a second. */
const CALM: LoadOptions = { seconds: 4, pauseMs: 32 };
const CALM_SIDES = ['berth', 'node:http'];

export const says = 'requests a second of a hello function, and latency added at 1,000 requests a second';

export async function measure({ scope, rounds, say }: BenchContext): Promise<Outcome> {
  const targets = await startSides(scope);
  say('warming up');
  for (const target of targets.values()) await load(target, WARM_UP);
  const full = await loads(targets, { rounds, say, options: FULL });
  say('at 1,000 requests a second');
  const calmTargets = new Map(CALM_SIDES.map((name) => [name, targets.get(name)!]));
  const calm = await loads(calmTargets, { rounds, say, options: CALM });
  return {
    rows: [...rowsOf(full, '32 connections'), ...rowsOf(calm, '1,000/s')],
    checks: [...throughputChecks(full), ...latencyChecks(calm)],
  };
}

type Loads = Map<string, Load[]>;

function loads(
  targets: ReadonlyMap<string, Target>,
  { rounds, say, options }: Pick<BenchContext, 'rounds' | 'say'> & { readonly options: LoadOptions },
): Promise<Loads> {
  const sides = [...targets].map(([name, target]) => ({ name, measure: () => load(target, options) }));
  return alternate(sides, rounds, say);
}

function rowsOf(measured: Loads, what: string): Row[] {
  return [...measured].map(([name, results]) => ({
    label: `${name}, ${what}`,
    unit: 'requests/s',
    rounds: results.map(({ perSecond }) => perSecond),
    p50Ms: median(results.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(results.map(({ p99Ms }) => p99Ms)),
  }));
}

function throughputChecks(measured: Loads): Check[] {
  const perSecond = (name: string): number[] => of(measured, name).map((result) => result.perSecond);
  const against = (first: string, second: string, target: number): Check =>
    check(`${first} / ${second}`, ratios(perSecond(first), perSecond(second)), {
      bound: 'at least',
      target,
      unit: '×',
    });
  return [
    against('berth', 'node:http', 0.6),
    against('berth', 'workerd', 1.5),
    against('berth', 'functions-framework', 5),
    against('berth', 'undici proxy', 1.7),
    against('berth with JWT', 'berth', 0.85),
  ];
}

function latencyChecks(measured: Loads): Check[] {
  const added = (key: 'p50Ms' | 'p99Ms'): number[] => {
    const [berth, bare] = CALM_SIDES.map((name) => of(measured, name).map((result) => result[key]));
    return paired(berth!, bare!, (a, b) => a - b);
  };
  return [
    check('added latency at 1,000/s, p50', added('p50Ms'), { bound: 'at most', target: 0.3, unit: 'ms' }),
    check('added latency at 1,000/s, p99', added('p99Ms'), { bound: 'at most', target: 1.5, unit: 'ms' }),
  ];
}
