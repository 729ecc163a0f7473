import { expect, it } from 'vitest';
import { BerthError, type ErrorCode } from '../contracts/errors.ts';
import { FakeClock } from '../kernel/testing/fake-clock.ts';
import { invokerHooks, type ObserverParts } from './observers.ts';

it.each([
  ['INTERNAL', 1],
  ['SANDBOX_START_FAILED', 1],
  ['TENANT_SUSPENDED', 0],
  ['FUNCTION_FAILED', 0],
] as const)(
  'an invocation that ends with %s is told to the operator %i times as a failure of ours',
  (code, times) => {
    expect(failuresAfter(code)).toBe(times);
  },
);

function failuresAfter(code: ErrorCode): number {
  let failures = 0;
  const parts = {
    clock: new FakeClock(),
    isAccessLogged: false,
    metrics: { invocationEnded: () => {} },
    log: { error: () => failures++ },
  } as unknown as ObserverParts;
  const ended = { startedAt: 0, invocation: 'i1', error: new BerthError(code, { reason: 'x' }) };
  invokerHooks(parts).onEnd?.(ended as never);
  return failures;
}
