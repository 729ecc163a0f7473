import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BerthError } from '../contracts/errors.ts';
import type { TenantId } from '../contracts/ids.ts';
import { settled } from '../kernel/testing/fake-clock.ts';
import type { Lease } from './sandboxes.ts';
import { type Heard, listen, makeRunnable, request, type TestRunnable, World } from './testing/world.ts';

const MAX_SANDBOXES = 4;
const limits = {
  concurrencyPerSandbox: 2,
  sandboxesPerFunction: 2,
  sandboxesPerTenant: 4,
  queue: 3,
  queueMs: 3_000,
  idleMs: 4_000,
  freezeMs: 1_000,
  wallMs: 5_000,
};

type Act =
  | { kind: 'call'; fn: number }
  | { kind: 'done' | 'cancel' | 'close' | 'exit' | 'violate' | 'fatal' | 'release'; pick: number }
  | { kind: 'retire'; fn: number }
  | { kind: 'limits' | 'evict'; tenant: number }
  | { kind: 'advance'; ms: number }
  | { kind: 'breakDriver' | 'load' | 'failLoad' };

const pick = fc.nat({ max: 20 });
const fn = fc.nat({ max: 5 });
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('call' as const), fn }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('done' as const), pick }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom('cancel', 'close', 'exit', 'violate', 'fatal', 'release'),
      pick,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('retire' as const), fn }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('limits', 'evict'), tenant: fc.nat({ max: 1 }) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('advance' as const), ms: fc.nat({ max: 2_500 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('breakDriver', 'load', 'failLoad') }) },
);

/** Plays clients, runtimes and the kernel, and remembers what each invocation heard. */
class Play {
  readonly world = new World({
    facts: { canFreeze: true },
    maxSandboxes: MAX_SANDBOXES,
    pool: { minBlank: 1, maxBlank: 2, startConcurrency: 2 },
  });
  readonly heard: Heard[] = [];
  readonly held: Lease[] = [];
  readonly cancels: (() => void)[] = [];
  readonly refused: string[] = [];
  asked = 0;
  readonly #runnables: TestRunnable[] = Array.from({ length: 6 }, (_, index) =>
    makeRunnable(`f${index}`, limits, `t${index % 2}`),
  );

  async do(step: Act): Promise<void> {
    const { world } = this;
    switch (step.kind) {
      case 'call':
        return this.#call(this.#runnables[step.fn]!);
      case 'retire':
        return world.sandboxes.retire(`f${step.fn}`);
      case 'limits':
        for (const runnable of this.#runnables)
          runnable.current = { ...runnable.current, cpuMillis: 100 + (runnable.current.cpuMillis % 7) };
        return void (await world.sandboxes.applyLimits(`t${step.tenant}` as TenantId));
      case 'evict':
        return void world.sandboxes.evict(`t${step.tenant}` as TenantId);
      case 'advance':
        return world.clock.advance(step.ms);
      case 'breakDriver':
        world.driver.failCreates = 2;
        return;
      case 'load':
      case 'failLoad':
        world.loadsByItself = step.kind === 'load';
        return;
      default:
        return this.#happen(step.kind, step.pick);
    }
  }

  #call(runnable: TestRunnable): void {
    this.asked += 1;
    this.world.sandboxes.acquire(runnable, AbortSignal.timeout(60_000)).then(
      (lease) => void this.held.push(lease),
      (error: unknown) => void this.refused.push(error instanceof BerthError ? error.code : String(error)),
    );
  }

  #happen(kind: string, number: number): void {
    const lease = this.held.splice(number % Math.max(1, this.held.length), 1)[0];
    if (kind === 'release') return lease?.release();
    if (lease !== undefined) {
      const heard = listen();
      this.heard.push(heard);
      const invocation = lease.invoke(request, heard);
      if (kind === 'cancel') invocation.cancel('client-gone');
    }
    const channels = this.world.channels.filter(({ closedWith }) => closedWith === null);
    const channel = channels[number % Math.max(1, channels.length)];
    if (channel === undefined) return;
    const id = this.world.idOf.get(channel)!;
    if (kind === 'done') for (const invocation of channel.opened) invocation.done();
    if (kind === 'close') channel.events.onClosed(null);
    if (kind === 'violate') channel.events.onClosed(new BerthError('PROTOCOL_VIOLATION'));
    if (kind === 'fatal') channel.events.onFatal('boom', undefined);
    if (kind === 'exit' && this.world.driver.live.has(id)) this.world.driver.exit(id, { code: 1 });
  }

  check(): void {
    const stats = this.world.sandboxes.stats();
    for (const count of Object.values(stats)) expect(count).toBeGreaterThanOrEqual(0);
    expect(this.world.driver.live.size).toBeLessThanOrEqual(MAX_SANDBOXES);
    expect(stats.claimed + stats.blank + stats.starting).toBeLessThanOrEqual(MAX_SANDBOXES);
    for (const channel of this.world.channels) {
      expect(channel.loads.length).toBeLessThanOrEqual(1);
      const lastWord = this.world.driver.frost.findLast((word) =>
        word.endsWith(this.world.idOf.get(channel)!),
      );
      if (lastWord?.startsWith('freeze') === true) expect(channel.opened.size).toBe(0);
    }
  }
}

it('in whatever order things happen: limits hold, each invocation ends once, nothing is left', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 60 }), async (steps) => {
      const play = new Play();
      await settled();
      for (const step of steps) {
        await play.do(step);
        await settled();
        play.check();
      }
      for (const lease of play.held.splice(0))
        lease.invoke(request, play.heard[play.heard.push(listen()) - 1]!);
      await play.world[Symbol.asyncDispose]();
      for (const { calls } of play.heard)
        expect(calls.filter((call) => call === 'done' || call.startsWith('failed')).length).toBe(1);
      expect(play.refused.length).toBeLessThanOrEqual(play.asked);
      expect(play.world.sandboxes.stats()).toEqual({
        blank: 0,
        starting: 0,
        claimed: 0,
        frozen: 0,
        // A driver that fails to remove it: it is tried again, but not by a platform that is gone.
        ending: expect.any(Number) as number,
        inFlight: 0,
        waiting: 0,
      });
      expect(play.world.driver.live.size).toBe(0);
      expect(play.world.clock.waiting).toBe(0);
    }),
    { numRuns: 150 },
  );
});
