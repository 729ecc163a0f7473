/** New functions all the time, while a warm function beside them is called: how many, and what the warm one feels of it. */
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { TestPlatform } from '../../test/support/platform.ts';
import { currentDriver, type TestDriver } from '../../test/support/test-driver.ts';
import { bareSandboxesPerSecond } from '../harness/bare-sandbox.ts';
import { addTenant, deployMany, helloSource, portOf, removeTenant, startBerth } from '../harness/berth.ts';
import { callAll } from '../harness/calls.ts';
import { check, type BenchContext, type Outcome } from '../harness/outcome.ts';
import { fullPool } from '../harness/pool.ts';
import { alternate, of } from '../harness/rounds.ts';
import { median, percentile, ratios } from '../harness/statistics.ts';
import { load, type Load, type LoadOptions } from '../harness/wrk.ts';

const SECONDS = 6;
/** An engine makes no more containers than this on two cores: each costs it ten times what a jailed process costs. */
const wantedPerSecond = { jail: 40, 'docker+runc': 4, 'docker+runsc': 2 } as const satisfies Record<
  TestDriver,
  number
>;
/** 8 connections that pause 40 ms on average: 200 requests a second. */
const WARM: LoadOptions = { seconds: SECONDS, connections: 8, pauseMs: 40 };
const CALL_MS = 30_000;
/** The warm one. */
const RESIDENTS = 1;
/** Two for each of two cores: none of them waits. */
const BARE = { seconds: SECONDS, atOnce: 4 };

/** More come than are wanted, so that what is counted is what the platform can do. */
function offeredPerSecond(): number {
  return wantedPerSecond[currentDriver()] * 1.1;
}

interface Sustained {
  readonly warm: Load;
  /** first requests answered within the time, a second; none in rounds without them */
  readonly perSecond: number;
  readonly coldMs: readonly number[];
}

export async function measureSustained({ scope, rounds, say }: BenchContext): Promise<Outcome> {
  say('sustained');
  const platform = await startBerth(scope);
  await addTenant(platform, 'warm');
  const [path] = await deployMany(platform, { tenant: 'warm', count: 1, source: helloSource });
  await callAll(platform.url, [path!]);
  const target = { port: portOf(platform), requests: [{ path: path! }] };
  await load(target, WARM);
  const sides = [
    {
      name: 'warm alone',
      measure: async () => ({ warm: await load(target, WARM), perSecond: 0, coldMs: [] }),
    },
    {
      name: 'warm beside new functions',
      measure: (round: number) => beside(platform, round, () => load(target, WARM)),
    },
  ];
  const outcome = outcomeOf(await alternate<Sustained>(sides, rounds, say));
  say('the least that a start costs');
  const bare = await alternate([{ name: 'bare', measure: () => bareSandboxesPerSecond(BARE) }], rounds, say);
  const row = { label: 'bwrap … node -e 0, nothing else', unit: '1/s', rounds: of(bare, 'bare') };
  return { rows: [...outcome.rows, row], checks: outcome.checks };
}

function outcomeOf(measured: ReadonlyMap<string, Sustained[]>): Outcome {
  const alone = of(measured, 'warm alone');
  const both = of(measured, 'warm beside new functions');
  const warmP99s = (results: readonly Sustained[]): number[] => results.map(({ warm }) => warm.p99Ms);
  const coldMs = both.flatMap((result) => result.coldMs);
  const perSecond = both.map((result) => result.perSecond);
  return {
    rows: [
      {
        label: 'new functions a second',
        unit: '1/s',
        rounds: perSecond,
        p50Ms: percentile(coldMs, 50),
        p99Ms: percentile(coldMs, 99),
      },
      ...[...measured].map(([label, results]) => ({
        label: `${label}, p99`,
        unit: 'ms',
        rounds: warmP99s(results),
        p50Ms: median(results.map(({ warm }) => warm.p50Ms)),
        p99Ms: median(warmP99s(results)),
      })),
    ],
    checks: [
      check('new functions a second', perSecond, {
        bound: 'at least',
        target: wantedPerSecond[currentDriver()],
        unit: '1/s',
      }),
      check('p99 of warm requests beside them / alone', ratios(warmP99s(both), warmP99s(alone)), {
        bound: 'at most',
        target: 2,
        unit: '×',
      }),
    ],
  };
}

/** Deploys come before, so that only first requests are measured. */
async function beside(platform: TestPlatform, round: number, warm: () => Promise<Load>): Promise<Sustained> {
  const tenant = `sustained${round}`;
  await addTenant(platform, tenant);
  const count = Math.ceil(offeredPerSecond() * SECONDS);
  const paths = await deployMany(platform, { tenant, count, source: helloSource });
  await fullPool(platform);
  const [load, coldMs] = await Promise.all([warm(), offer(platform.url, paths)]);
  await removeTenant(platform, tenant, RESIDENTS);
  await fullPool(platform);
  return {
    warm: load,
    perSecond: coldMs.filter((ms) => ms !== null).length / SECONDS,
    coldMs: answered(coldMs),
  };
}

function answered(times: readonly (number | null)[]): number[] {
  return times.filter((ms) => ms !== null);
}

/** Calls the paths at the offered rate, whatever becomes of those before. @returns their times; null: not answered in time */
async function offer(url: string, paths: readonly string[]): Promise<(number | null)[]> {
  const agent = new Agent({ connections: paths.length });
  const started = performance.now();
  const calls: Promise<number | null>[] = [];
  for (const [index, path] of paths.entries()) {
    await delay(Math.max(0, started + (index * 1_000) / offeredPerSecond() - performance.now()));
    calls.push(callNew(agent, url + path, started + SECONDS * 1_000));
  }
  const times = await Promise.all(calls);
  await agent.close();
  return times;
}

/** A full queue is an answer that does not count; anything else that is no success is an error. */
async function callNew(agent: Agent, url: string, end: number): Promise<number | null> {
  const started = performance.now();
  const { statusCode, body } = await request(url, {
    dispatcher: agent,
    signal: AbortSignal.timeout(CALL_MS),
  });
  const text = await body.text();
  const ended = performance.now();
  if (statusCode === 200 && ended <= end) return ended - started;
  if (statusCode === 200 || statusCode === 503) return null;
  throw new Error(`${url} answered ${statusCode}: ${text}`);
}
