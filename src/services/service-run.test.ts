/** How long one may take to start, with time in the test's hands and a driver that never gets it done. */
import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { BerthError } from '../contracts/errors.ts';
import { serviceKindsSchema } from '../contracts/services.ts';
import { newSandboxId } from '../drivers/new-sandbox-id.ts';
import { FakeClock } from '../kernel/testing/fake-clock.ts';
import { ServiceRun } from './service-run.ts';
import { StartTurns } from './start-turns.ts';
import { serviceRecord } from './testing/service-record.ts';

const never = new AbortController().signal;
const { words: definition } = serviceKindsSchema.parse({
  words: { image: 'words', port: 1, dataPath: '/data', url: 'x:{port}' },
});

interface Parts {
  readonly clock: FakeClock;
  readonly turns: StartTurns;
  /** What the driver answers with; left out: nothing ever. */
  readonly refusal?: Error;
}

function runOf(parts: Parts): {
  readonly run: ServiceRun;
  readonly orders: string[];
  readonly warnings: unknown[];
} {
  const orders: string[] = [];
  const warnings: unknown[] = [];
  const driver = {
    startService: ({ kind }: { readonly kind: string }) => {
      orders.push(kind);
      return parts.refusal === undefined ? new Promise<void>(() => undefined) : Promise.reject(parts.refusal);
    },
    destroy: () => Promise.resolve(),
  };
  const listen = (): ReturnType<typeof Promise.resolve<never>> =>
    Promise.resolve({ connection: new Promise(() => undefined), close: () => undefined }) as never;
  const log = {
    info: () => undefined,
    warn: (facts: unknown) => void warnings.push(facts),
    error: () => undefined,
  };
  const observe = (): void => undefined;
  const options = { ...parts, driver, listen, newId: newSandboxId, runDir: tmpdir(), log, observe };
  return {
    run: new ServiceRun(options, { record: serviceRecord(), definition: definition!, isolation: 'standard' }),
    orders,
    warnings,
  };
}

it('the time to start begins with its turn, however long the others take', async () => {
  const parts = { clock: new FakeClock(), turns: new StartTurns(1) };
  const leave = await parts.turns.take(never);
  const { run, orders } = runOf(parts);
  let failure: string | null = null;
  const started = run.start().catch((error: unknown) => (failure = String(error)));
  await parts.clock.advance(600_000);
  expect([orders, failure]).toEqual([[], null]);
  leave();
  await parts.clock.advance(49_000);
  expect([orders, failure]).toEqual([['words'], null]);
  await parts.clock.advance(2_000);
  await started;
  expect(failure).toMatch(/"cache" did not start/);
});

it('one that takes long does not hold up the next for as long', async () => {
  const parts = { clock: new FakeClock(), turns: new StartTurns(1) };
  const [first, second] = [runOf(parts), runOf(parts)];
  const ends = [first, second].map(({ run }) => run.start().catch(() => 'failed'));
  await parts.clock.advance(4_000);
  expect(second.orders).toEqual([]);
  await parts.clock.advance(2_000);
  expect(second.orders).toEqual(['words']);
  await parts.clock.advance(60_000);
  expect(await Promise.all(ends)).toEqual(['failed', 'failed']);
});

it('the operator is told what the driver said, the caller that it did not get ready', async () => {
  const refusal = new BerthError('SERVICE_START_FAILED', {}, { cause: 'the engine refused' });
  const { run, warnings } = runOf({ clock: new FakeClock(), turns: new StartTurns(1), refusal });
  await expect(run.start()).rejects.toThrow('"cache" did not start: its container did not get ready');
  expect(warnings).toMatchObject([{ service: 'cache', err: 'the engine refused' }]);
});

it('one that waits for its turn can be given up', async () => {
  const parts = { clock: new FakeClock(), turns: new StartTurns(1) };
  await parts.turns.take(never);
  const { run, orders } = runOf(parts);
  const started = run.start().catch(() => 'failed');
  run.abort();
  expect([await started, orders]).toEqual(['failed', []]);
});
