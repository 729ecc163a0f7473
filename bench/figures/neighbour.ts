/**
 * What a busy tenant feels of its neighbours: of two that spin, on as many cores as there are or twice as many, and of a thousand functions that are new at once.
 * And what a bare server feels of the least that these are made of: the machine's own part in it.
 */
import { availableParallelism } from 'node:os';
import { Agent, request } from 'undici';
import type { TestPlatform } from '../../test/support/platform.ts';
import { bareSandboxesPerSecond } from '../harness/bare-sandbox.ts';
import { addTenant, deployMany, helloSource, portOf, removeTenant, startBerth } from '../harness/berth.ts';
import { callAll } from '../harness/calls.ts';
import { type Scope, startChild } from '../harness/child.ts';
import { type BenchContext, check, type Check, type Outcome, type Row } from '../harness/outcome.ts';
import { fullPool } from '../harness/pool.ts';
import { alternate, of } from '../harness/rounds.ts';
import { median, ratios } from '../harness/statistics.ts';
import { load, type Load, type LoadOptions } from '../harness/wrk.ts';
import { startBare } from './warm-sides.ts';

const SECONDS = 6;
/** 8 connections that pause 40 ms on average: 200 requests a second. */
const BUSY: LoadOptions = { seconds: SECONDS, connections: 8, pauseMs: 40 };
const SPINNERS = ['spinner0', 'spinner1'];
/** Each has a core of its own by its limits; all of them together want twice what a machine of two cores has. */
const SPINNING_FUNCTIONS = 2;
/** Below blockedMs, so that none is killed: that would give the others their core back. */
const SPIN_MS = 1_500;
const SPIN = `module.exports = (cb) => { const end = Date.now() + ${SPIN_MS}; while (Date.now() < end); cb(null, {}); };`;
/** The victim's sandbox and those of the spinners. */
const RESIDENTS = 1 + SPINNERS.length * SPINNING_FUNCTIONS;
const NEW_FUNCTIONS = 1_000;
/** Longer than queueMs: who waits too long is told so. */
const CALL_MS = 180_000;
const SETTINGS = { BERTH_MAX_SANDBOXES: '1100', BERTH_LIMITS_QUEUE: '2000', BERTH_LIMITS_QUEUE_MS: '120000' };
const WANTED = 2;

const ALONE = 'alone';
const TWO_BESIDE = 'beside two tenants that spin, a function each';
const SPINNERS_BESIDE = 'beside two tenants that spin, two functions each';
const NEW_BESIDE = `beside ${NEW_FUNCTIONS} new functions at once`;
const BARE_ALONE = 'node:http, alone';
const BARE_BESIDE_IDLE = 'node:http, beside spinners of the class SCHED_IDLE';
const BARE_BESIDE_STARTS = 'node:http, beside bwrap … node -e 0, one after the other on each core';

export const says =
  'p99 of a tenant’s warm requests beside tenants that spin, and beside 1,000 new functions at once, against alone';

export async function measure(context: BenchContext): Promise<Outcome> {
  const bare = await measureBare(context);
  const { rows, checks } = await measurePlatform(context);
  return { rows: [...rows, ...bare], checks };
}

async function measureBare({ scope, rounds, say }: BenchContext): Promise<Row[]> {
  say('a bare server beside bare neighbours');
  await using own = scope.use(new AsyncDisposableStack());
  const target = { port: await startBare(own), requests: [{ path: '/' }] };
  const busy = (): Promise<Load> => load(target, BUSY);
  await busy();
  const sides = [
    { name: BARE_ALONE, measure: busy },
    { name: BARE_BESIDE_IDLE, measure: () => besideIdleSpinners(busy) },
    { name: BARE_BESIDE_STARTS, measure: () => besideBareStarts(busy) },
  ];
  return rowsOf(await alternate<Load>(sides, rounds, say));
}

async function measurePlatform({ scope, rounds, say }: BenchContext): Promise<Outcome> {
  const platform = await startBerth(scope, SETTINGS);
  const paths = await prepare(platform);
  const target = { port: portOf(platform), requests: [{ path: paths.victim }] };
  const busy = (): Promise<Load> => load(target, BUSY);
  await busy();
  const alone = { name: ALONE, measure: busy };
  const spinners = [
    { name: TWO_BESIDE, measure: () => whileSpinning(platform.url, paths.spinningOnce, busy) },
    { name: SPINNERS_BESIDE, measure: () => whileSpinning(platform.url, paths.spinning, busy) },
  ];
  const newcomers = { name: NEW_BESIDE, measure: (round: number) => besideNew(platform, round, busy) };
  const outcomes = [
    outcomeOf(await alternate<Load>([alone, ...spinners], rounds, say)),
    outcomeOf(await alternate<Load>([alone, newcomers], rounds, say)),
  ];
  return { rows: outcomes.flatMap(({ rows }) => rows), checks: outcomes.flatMap(({ checks }) => checks) };
}

function outcomeOf(measured: ReadonlyMap<string, Load[]>): Outcome {
  const p99s = (side: string): number[] => of(measured, side).map(({ p99Ms }) => p99Ms);
  const names = [...measured.keys()].filter((name) => name !== ALONE);
  return {
    rows: rowsOf(measured),
    checks: names.map((name) => against(name, ratios(p99s(name), p99s(ALONE)))),
  };
}

function rowsOf(measured: ReadonlyMap<string, Load[]>): Row[] {
  return [...measured].map(([label, results]) => {
    const p99s = results.map(({ p99Ms }) => p99Ms);
    return {
      label: `${label}, p99`,
      unit: 'ms',
      rounds: p99s,
      p50Ms: median(results.map(({ p50Ms }) => p50Ms)),
      p99Ms: median(p99s),
    };
  });
}

function against(name: string, values: readonly number[]): Check {
  return check(`p99 ${name} / alone`, values, { bound: 'at most', target: WANTED, unit: '×' });
}

interface Paths {
  readonly victim: string;
  readonly spinning: readonly string[];
  /** One of each tenant's. */
  readonly spinningOnce: readonly string[];
}

async function prepare(platform: TestPlatform): Promise<Paths> {
  await addTenant(platform, 'victim');
  const [victim] = await deployMany(platform, { tenant: 'victim', count: 1, source: helloSource });
  const spinning: string[] = [];
  const spinningOnce: string[] = [];
  for (const tenant of SPINNERS) {
    await addTenant(platform, tenant);
    const own = await deployMany(platform, { tenant, count: SPINNING_FUNCTIONS, source: SPIN });
    spinning.push(...own);
    spinningOnce.push(own[0]!);
  }
  await callAll(platform.url, [victim!, ...spinning]);
  return { victim: victim!, spinning, spinningOnce };
}

/** As many as the platform's spinning functions, in the class that any other process takes the core from at once (sched(7)). */
async function besideIdleSpinners<T>(work: () => Promise<T>): Promise<T> {
  await using own: Scope = new AsyncDisposableStack();
  const args = ['--idle', '0', process.execPath, '-e', 'for (;;);'];
  const spinners = Array.from({ length: SPINNERS.length * SPINNING_FUNCTIONS }, () =>
    startChild(own, { command: 'chrt', args }),
  );
  const result = await work();
  for (const spinner of spinners) spinner.assertAlive();
  return result;
}

async function besideBareStarts<T>(work: () => Promise<T>): Promise<T> {
  const starts = bareSandboxesPerSecond({ seconds: SECONDS, atOnce: availableParallelism() });
  const [result] = await Promise.all([work(), starts]);
  return result;
}

async function whileSpinning<T>(url: string, paths: readonly string[], work: () => Promise<T>): Promise<T> {
  const agent = new Agent({ connections: paths.length });
  const over = new AbortController();
  const spinners = paths.map(async (path) => {
    while (!over.signal.aborted) await call(agent, url + path);
  });
  try {
    return await work();
  } finally {
    over.abort();
    await Promise.all(spinners);
    await agent.close();
  }
}

/** Deploys come before, so that only first requests are beside. All of them must be answered. */
async function besideNew(platform: TestPlatform, round: number, work: () => Promise<Load>): Promise<Load> {
  const tenant = `new${round}`;
  await addTenant(platform, tenant);
  const paths = await deployMany(platform, { tenant, count: NEW_FUNCTIONS, source: helloSource });
  await fullPool(platform);
  const agent = new Agent({ connections: NEW_FUNCTIONS });
  const [measured] = await Promise.all([work(), ...paths.map((path) => call(agent, platform.url + path))]);
  await agent.close();
  await removeTenant(platform, tenant, RESIDENTS);
  await fullPool(platform);
  return measured;
}

/** @throws Error when it is not answered with 200 */
async function call(agent: Agent, url: string): Promise<void> {
  const signal = AbortSignal.timeout(CALL_MS);
  const { statusCode, body } = await request(url, { dispatcher: agent, signal });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`${url} answered ${statusCode}: ${text}`);
}
