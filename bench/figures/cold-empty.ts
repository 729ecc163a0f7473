/** A function that never ran, without a pool: against the least that such a sandbox must do, `bwrap … node -e 0`. */
import { startBareSandbox } from '../harness/bare-sandbox.ts';
import { startBerth } from '../harness/berth.ts';
import { callNewFunctions } from '../harness/new-functions.ts';
import { check, type BenchContext, type Outcome } from '../harness/outcome.ts';
import { alternate, of } from '../harness/rounds.ts';
import { median, percentile, ratios } from '../harness/statistics.ts';

const CALLS_PER_ROUND = 20;
const NO_POOL = { BERTH_POOL_MIN_BLANK: '0', BERTH_POOL_MAX_BLANK: '0' };

export async function measurePoolEmpty({ scope, rounds, say }: BenchContext): Promise<Outcome> {
  say('pool empty');
  const platform = await startBerth(scope, NO_POOL);
  const sides = [
    {
      name: 'berth, pool empty',
      measure: (round: number) =>
        callNewFunctions(platform, { tenant: `empty${round}`, count: CALLS_PER_ROUND }),
    },
    { name: 'bwrap … node -e 0', measure: () => startBareNodes() },
  ];
  for (const { measure } of sides) await measure(rounds);
  const measured = await alternate(sides, rounds, say);
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
      check(
        'pool empty / bwrap … node -e 0, p50',
        ratios(p50s('berth, pool empty'), p50s('bwrap … node -e 0')),
        {
          bound: 'at most',
          target: 2.2,
          unit: '×',
        },
      ),
    ],
  };
}

async function startBareNodes(): Promise<number[]> {
  const times: number[] = [];
  for (let call = 0; call < CALLS_PER_ROUND; call++) {
    const started = performance.now();
    await startBareSandbox();
    times.push(performance.now() - started);
  }
  return times;
}
