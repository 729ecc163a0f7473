/** The time of a deploy where 10,000 functions are deployed already, against one where there are 10. */
import type { TestPlatform } from '../../test/support/platform.ts';
import { addTenant, helloSource, startBerth } from '../harness/berth.ts';
import { type BenchContext, check, type Outcome } from '../harness/outcome.ts';
import { alternate, of } from '../harness/rounds.ts';
import { median, percentile, ratios } from '../harness/statistics.ts';

const FEW = 10;
const MANY = 10_000;
const AT_ONCE = 8;
const DEPLOYS_PER_ROUND = 20;
const TENANT = 'bench';
/** Both platforms have compiled their code before the first deploy that is measured. */
const WARM_UP = 500;

export const says = 'time of a deploy after 10,000 others against one after 10';

export async function measure({ scope, rounds, say }: BenchContext): Promise<Outcome> {
  const few = await startBerth(scope);
  const many = await startBerth(scope);
  for (const platform of [few, many]) {
    await fill(platform, 'warm-up', WARM_UP);
    await platform.must('DELETE', '/v1/tenants/warm-up');
  }
  say('deploying 10,000 functions');
  await fill(few, TENANT, FEW);
  await fill(many, TENANT, MANY);
  const sides = [
    { name: 'n = 10', measure: (round: number) => timeDeploys(few, FEW, round) },
    { name: 'n = 10,000', measure: (round: number) => timeDeploys(many, MANY, round) },
  ];
  const measured = await alternate(sides, rounds, say);
  const medians = (name: string): number[] => of(measured, name).map(median);
  return {
    rows: [...measured].map(([label, times]) => ({
      label: `deploy, ${label}`,
      unit: 'ms',
      rounds: medians(label),
      p50Ms: percentile(times.flat(), 50),
      p99Ms: percentile(times.flat(), 99),
    })),
    checks: [
      check('deploy, n = 10,000 / n = 10', ratios(medians('n = 10,000'), medians('n = 10')), {
        bound: 'at most',
        target: 1.2,
        unit: '×',
      }),
    ],
  };
}

/** All of one tenant: what grows with the functions of a tenant grows, too. */
async function fill(platform: TestPlatform, tenant: string, count: number): Promise<void> {
  await addTenant(platform, tenant);
  const numbers = Array.from({ length: count }, (_, number) => number).values();
  const worker = async (): Promise<void> => {
    for (const number of numbers) await platform.deploy(tenant, `f${number}`, helloSource);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, worker));
}

async function timeDeploys(platform: TestPlatform, filled: number, round: number): Promise<number[]> {
  const times: number[] = [];
  for (let number = 0; number < DEPLOYS_PER_ROUND; number++) {
    const name = `f${filled + round * DEPLOYS_PER_ROUND + number}`;
    const started = performance.now();
    await platform.deploy(TENANT, name, helloSource);
    times.push(performance.now() - started);
  }
  return times;
}
