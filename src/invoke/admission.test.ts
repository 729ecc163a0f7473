import { describe, expect, it } from 'vitest';
import type { TenantId } from '../contracts/ids.ts';
import { effectiveLimits } from '../contracts/limits.ts';
import { Admission } from './admission.ts';

const acme = 'acme' as TenantId;
const other = 'other' as TenantId;

describe('admission', () => {
  it('lets in as many at the same time as concurrency says, and names the limit to the next', () => {
    const admission = new Admission();
    const limits = effectiveLimits({ concurrency: 2 });
    const gate = admission.gateOf(acme);
    expect(admission.enter(gate, limits, 0)).toBeNull();
    expect(admission.enter(gate, limits, 0)).toBeNull();
    expect(admission.enter(gate, limits, 0)).toMatchObject({
      code: 'CONCURRENCY_LIMIT',
      facts: { name: 'concurrency', limit: 2 },
    });
    gate.leave();
    expect(admission.enter(gate, limits, 0)).toBeNull();
  });

  it('lets a burst of one second pass, then the rate', () => {
    const admission = new Admission();
    const limits = effectiveLimits({ requestsPerSecond: 10 });
    const gate = admission.gateOf(acme);
    const passed = (now: number): number => {
      let count = 0;
      while (count < 100 && admission.enter(gate, limits, now) === null) count += 1;
      return count;
    };
    expect(passed(5_000)).toBe(10);
    expect(passed(5_000)).toBe(0);
    expect(passed(5_500)).toBe(5);
    expect(passed(60_000)).toBe(10);
    expect(admission.enter(gate, limits, 60_000)).toMatchObject({
      code: 'RATE_LIMITED',
      facts: { name: 'requestsPerSecond', limit: 10 },
    });
  });

  it('does not let one tenant take from another', () => {
    const admission = new Admission();
    const limits = effectiveLimits({ concurrency: 1, requestsPerSecond: 1 });
    expect(admission.enter(admission.gateOf(acme), limits, 0)).toBeNull();
    expect(admission.enter(admission.gateOf(acme), limits, 0)).not.toBeNull();
    expect(admission.enter(admission.gateOf(other), limits, 0)).toBeNull();
  });

  it('follows a changed limit at once', () => {
    const admission = new Admission();
    const gate = admission.gateOf(acme);
    const small = effectiveLimits({ concurrency: 1 });
    admission.enter(gate, small, 0);
    expect(admission.enter(gate, small, 0)).not.toBeNull();
    expect(admission.enter(gate, effectiveLimits({ concurrency: 2 }), 0)).toBeNull();
  });

  it('counts the refusals that it does not tell', () => {
    const gate = new Admission().gateOf(acme);
    expect([
      gate.takeRefusals(0),
      gate.takeRefusals(10),
      gate.takeRefusals(999),
      gate.takeRefusals(1_000),
    ]).toEqual([1, 0, 0, 3]);
  });

  it('forgets tenants that are quiet, never one that has something under way', () => {
    const admission = new Admission();
    const limits = effectiveLimits({ requestsPerSecond: 1_000_000, concurrency: 100_000 });
    const quiet = admission.gateOf(other);
    admission.enter(quiet, limits, 0);
    quiet.leave();
    const busy = admission.gateOf(acme);
    for (let call = 0; call < 5_000; call++) admission.enter(busy, limits, 60_000);
    expect(admission.size).toBe(1);
    expect(admission.gateOf(acme)).toBe(busy);
  });
});
