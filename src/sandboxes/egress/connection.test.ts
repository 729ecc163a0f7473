/** A connection that never leaves the process, as those to own functions: it has no clock of its own. */
import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { defaultLimits } from '../../contracts/limits.ts';
import type { TenantId } from '../../contracts/ids.ts';
import { FakeClock } from '../../kernel/testing/fake-clock.ts';
import { Connection } from './connection.ts';
import { TenantAccount } from './tenant-account.ts';
import { UsageBook } from './usage-book.ts';

const IDLE_MS = 5_000;

function open() {
  const clock = new FakeClock();
  const store = { addUsage: () => Promise.resolve(), readUsage: () => Promise.resolve([]) };
  const account = new TenantAccount(new UsageBook('acme' as TenantId, { store, clock }, () => undefined));
  const stream = new PassThrough();
  const errors: Error[] = [];
  stream.on('error', (error) => errors.push(error));
  const connection = new Connection({
    stream,
    peer: { address: '127.0.0.1', family: 4 },
    account,
    clock,
    limits: () => ({ ...defaultLimits, egressIdleMs: IDLE_MS }),
    refusal: () => null,
    onBytes: () => undefined,
    onClose: () => undefined,
  });
  return { clock, account, stream, errors, connection };
}

it('ends after egressIdleMs without a byte, and says why', async () => {
  const { clock, account, errors } = open();
  await clock.advance(IDLE_MS - 1);
  expect(errors).toEqual([]);
  await clock.advance(1);
  expect(errors).toMatchObject([{ code: 'ETIMEDOUT', message: 'nothing moved for egressIdleMs (5000 ms)' }]);
  expect([account.held.size, clock.waiting]).toEqual([0, 0]);
});

it('stays while a byte moves now and then, either way', async () => {
  const { clock, connection, errors } = open();
  for (const direction of ['in', 'out', 'in', 'out'] as const) {
    await clock.advance(IDLE_MS - 1);
    connection.count(direction, 1);
  }
  expect(errors).toEqual([]);
  await clock.advance(IDLE_MS);
  expect(errors).toHaveLength(1);
});

it('leaves no timer when it is closed', async () => {
  const { clock, stream } = open();
  stream.destroy();
  await clock.advance(0);
  expect(clock.waiting).toBe(0);
});
