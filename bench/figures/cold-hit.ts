/** A function that never ran, while blank sandboxes wait: against workerd's Worker Loader with a worker that it never loaded. */
import type { TestPlatform } from '../../test/support/platform.ts';
import { currentDriver, type TestDriver } from '../../test/support/test-driver.ts';
import { startBerth } from '../harness/berth.ts';
import { FirstByteClient } from '../harness/first-byte.ts';
import { callNewFunctions, firstByte } from '../harness/new-functions.ts';
import { check, type BenchContext, type Outcome } from '../harness/outcome.ts';
import { fullPool } from '../harness/pool.ts';
import { alternate, of } from '../harness/rounds.ts';
import { median, percentile, ratios } from '../harness/statistics.ts';
import { startWorkerd } from './warm-sides.ts';

const CALLS_PER_ROUND = 40;
const targetMs: Readonly<Record<TestDriver, number>> = { jail: 4, 'docker+runc': 6, 'docker+runsc': 15 };

export async function measurePoolHit({ scope, rounds, say }: BenchContext): Promise<Outcome> {
  say('pool hit');
  const platform = await startBerth(scope);
  const workerd = await startWorkerd(scope, 'workerd-loader.capnp');
  const sides = [
    { name: 'berth, pool hit', measure: (round: number) => callFromPool(platform, round) },
    { name: 'workerd Worker Loader', measure: (round: number) => callNewWorkers(workerd, round) },
  ];
  for (const { measure } of sides) await measure(rounds);
  const measured = await alternate(sides, rounds, say);
  const berth = of(measured, 'berth, pool hit');
  const p50s = (name: string): number[] => of(measured, name).map(median);
  return {
    rows: [...measured].map(([label, times]) => ({
      label,
      unit: 'ms',
      rounds: times.map(median),
      p50Ms: percentile(times.flat(), 50),
      p99Ms: percentile(times.flat(), 99),
    })),
    checks: [
      check('pool hit, p50', p50s('berth, pool hit'), {
        bound: 'at most',
        target: targetMs[currentDriver()],
        unit: 'ms',
      }),
      check('pool hit / Worker Loader, p50', ratios(p50s('berth, pool hit'), p50s('workerd Worker Loader')), {
        bound: 'at most',
        target: 1,
        unit: '×',
      }),
      {
        says: 'pool hit, p99',
        value: percentile(berth.flat(), 99),
        bound: 'at most',
        target: 15,
        unit: 'ms',
      },
    ],
  };
}

function callFromPool(platform: TestPlatform, round: number): Promise<number[]> {
  const before = (): Promise<void> => fullPool(platform);
  return callNewFunctions(platform, { tenant: `hit${round}`, count: CALLS_PER_ROUND, before });
}

async function callNewWorkers(port: number, round: number): Promise<number[]> {
  const client = await FirstByteClient.connect(port);
  const times: number[] = [];
  for (let call = 0; call < CALLS_PER_ROUND; call++) times.push(await firstByte(client, `/${round}/${call}`));
  client.close();
  return times;
}
