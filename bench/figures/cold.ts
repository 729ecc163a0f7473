/** The first request of a function: from the pool, without a pool, and one after another as fast as they come. */
import type { BenchContext, Outcome } from '../harness/outcome.ts';
import { measurePoolEmpty } from './cold-empty.ts';
import { measurePoolHit } from './cold-hit.ts';
import { measureSustained } from './cold-sustained.ts';

export const says = 'the first request of a function: pool hit, pool empty, 40 new functions a second';

export async function measure(context: BenchContext): Promise<Outcome> {
  const parts = [measurePoolHit, measurePoolEmpty, measureSustained];
  const rows: Outcome['rows'][number][] = [];
  const checks: Outcome['checks'][number][] = [];
  for (const part of parts) {
    const scope = context.scope.use(new AsyncDisposableStack());
    const outcome = await part({ ...context, scope });
    await scope.disposeAsync();
    rows.push(...outcome.rows);
    checks.push(...outcome.checks);
  }
  return { rows, checks };
}
