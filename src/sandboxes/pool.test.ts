import { describe, expect, it } from 'vitest';
import { BerthError, toBerthError } from '../contracts/errors.ts';
import { settled } from '../kernel/testing/fake-clock.ts';
import { heapMbFor } from './heap-class.ts';
import { failureOf, invoke, makeRunnable, makeWorld, type World } from './testing/world.ts';

const never = new AbortController().signal;
const MiB = 1024 * 1024;
/** After a claim, until the pool is filled again. */
const REFILL_MS = 20;

describe('the pool', () => {
  it('keeps blank sandboxes of the default heap class, and replaces those that were claimed', async () => {
    await using world = await makeWorld({ pool: { minBlank: 3, maxBlank: 3, startConcurrency: 2 } });
    expect(world.sandboxes.stats().blank).toBe(3);
    expect(world.driver.created.map(({ heapMb }) => heapMb)).toEqual([192, 192, 192]);
    await invoke(world, makeRunnable('hello'));
    await settled();
    // The function that loads has the processor to itself.
    expect(world.sandboxes.stats()).toMatchObject({ blank: 2, starting: 0, claimed: 1 });
    await world.clock.advance(REFILL_MS);
    expect(world.sandboxes.stats()).toMatchObject({ blank: 3, claimed: 1 });
    expect(world.events).toContainEqual({ kind: 'claimed', tenant: 'acme', fn: 'hello', wasBlank: true });
  });

  it('gets those that wait in it ready for functions, and none that a request waits for', async () => {
    await using world = await makeWorld({ pool: { minBlank: 1, maxBlank: 1, startConcurrency: 2 } });
    expect(world.channels.map(({ sent }) => sent)).toEqual([['exercise with fetch']]);
    const waiting = await invoke(world, makeRunnable('large', { memoryBytes: 512 * MiB }));
    expect(waiting.channel.sent).toEqual(['load', 'request']);
  });

  it('spares blank sandboxes the Fetch classes where functions of other forms run, until one of that form comes', async () => {
    await using world = await makeWorld({ pool: { minBlank: 1, maxBlank: 1, startConcurrency: 2 } });
    const last = (): string => world.channels.at(-1)!.sent[0]!;
    for (let number = 0; number < 30; number++) {
      await invoke(world, makeRunnable(`f${number}`));
      await world.clock.advance(REFILL_MS);
    }
    expect(last()).toBe('exercise');
    world.form = 'fetch';
    for (const name of ['first', 'second']) {
      await invoke(world, makeRunnable(name));
      await world.clock.advance(REFILL_MS);
    }
    expect(last()).toBe('exercise with fetch');
  });

  it('never gives one sandbox to two revisions', async () => {
    await using world = await makeWorld();
    const started = await Promise.all(
      Array.from({ length: 20 }, (_, index) => invoke(world, makeRunnable(`f${index}`, {}, `t${index}`))),
    );
    expect(new Set(started.map(({ id }) => id)).size).toBe(20);
    for (const channel of world.channels) expect(channel.loads.length).toBeLessThanOrEqual(1);
  });

  it('leaves a quarter of the memory to what is not heap', () => {
    expect(heapMbFor(256 * MiB)).toBe(192);
    expect(heapMbFor(64 * MiB)).toBe(48);
  });

  it('changes the limits of a blank sandbox while the revision loads', async () => {
    await using world = await makeWorld();
    const { id, channel } = await invoke(
      world,
      makeRunnable('hello', { cpuMillis: 200, logBytesPerSecond: 5_000 }),
    );
    expect(world.driver.updates).toMatchObject([{ id, limits: { cpuMillis: 200 } }]);
    expect(channel.logRate).toBe(5_000);
  });

  it('leaves the limits alone when they are those it was made with', async () => {
    await using world = await makeWorld();
    await invoke(world, makeRunnable('hello'));
    expect(world.driver.updates).toEqual([]);
  });

  it('never runs a revision without its limits: what cannot be changed is killed', async () => {
    await using world = await makeWorld();
    world.driver.failUpdates = true;
    const refused = failureOf(world.sandboxes.acquire(makeRunnable('hello', { cpuMillis: 200 }), never));
    expect(await refused).toMatchObject({ code: 'SANDBOX_START_FAILED' });
    await settled();
    expect(world.driver.destroyed.length).toBe(1);
  });

  it('sends no code before the limits are in force, and none when they never are', async () => {
    await using world = await makeWorld();
    for (const fails of [false, true]) {
      const gate = Promise.withResolvers<void>();
      world.driver.updatesAfter = gate.promise;
      world.driver.failUpdates = fails;
      const key = `fails-${fails}`;
      const lease = world.sandboxes.acquire(makeRunnable(key, { cpuMillis: 200 }, key), never);
      const outcome = lease.then(
        () => 'served',
        (error: unknown) => toBerthError(error).code,
      );
      const loadsBefore = loadCount(world);
      await settled();
      expect(world.driver.updates).toHaveLength(fails ? 2 : 1);
      expect(loadCount(world)).toBe(loadsBefore);
      gate.resolve();
      expect(await outcome).toBe(fails ? 'SANDBOX_START_FAILED' : 'served');
      expect(loadCount(world)).toBe(loadsBefore + (fails ? 0 : 1));
    }
  });

  it('a change of limits that never ends ends the sandbox', async () => {
    await using world = await makeWorld();
    world.driver.updatesAfter = new Promise(() => undefined);
    const refused = failureOf(
      world.sandboxes.acquire(makeRunnable('hello', { cpuMillis: 200, queueMs: 60_000 }), never),
    );
    await settled();
    await world.clock.advance(8_000);
    expect(await refused).toMatchObject({ code: 'SANDBOX_START_FAILED' });
    expect(loadCount(world)).toBe(0);
  });

  it('starts a sandbox for a tenant with another heap class', async () => {
    await using world = await makeWorld();
    const { id } = await invoke(world, makeRunnable('hello', { memoryBytes: 512 * MiB }));
    const spec = world.driver.created.find((created) => created.id === id);
    expect(spec).toMatchObject({ heapMb: 384, limits: { memoryBytes: 512 * MiB } });
    expect(world.sandboxes.stats().blank).toBe(2);
    expect(world.events).toContainEqual({ kind: 'claimed', tenant: 'acme', fn: 'hello', wasBlank: false });
  });

  it('an empty pool starts at once for who waits; refills come after', async () => {
    await using world = await makeWorld({ pool: { minBlank: 1, maxBlank: 1, startConcurrency: 2 } });
    world.driver.isHeld = true;
    const waiting = ['a', 'b', 'c'].map((key) => world.sandboxes.acquire(makeRunnable(key, {}, key), never));
    await settled();
    expect(world.sandboxes.stats().starting).toBeGreaterThanOrEqual(2);
    world.driver.letCreate();
    for (const lease of await Promise.all(waiting)) lease.release();
    await settled();
    expect(world.sandboxes.stats()).toMatchObject({ blank: 1, claimed: 3, starting: 0 });
  });

  it('gives what starts as a refill to who waits, and does not rely on one that is slow', async () => {
    await using world = await makeWorld({ pool: { minBlank: 1, maxBlank: 1, startConcurrency: 2 } });
    world.driver.isHeld = true;
    await invoke(world, makeRunnable('first'));
    await world.clock.advance(REFILL_MS);
    expect(world.sandboxes.stats().starting).toBe(1);
    const waiting = world.sandboxes.acquire(makeRunnable('second'), never);
    await settled();
    expect(world.sandboxes.stats().starting).toBe(1);
    await world.clock.advance(2_500);
    expect(world.sandboxes.stats().starting).toBe(2);
    world.driver.letCreate();
    (await waiting).release();
  });

  it('bounds the starts for a burst', async () => {
    await using world = await makeWorld({ pool: { minBlank: 0, maxBlank: 0, startConcurrency: 3 } });
    world.driver.isHeld = true;
    const waiting = Array.from({ length: 10 }, (_, index) =>
      world.sandboxes.acquire(makeRunnable(`f${index}`, {}, `t${index}`), never),
    );
    await settled();
    expect(world.sandboxes.stats()).toMatchObject({ starting: 3, waiting: 10 });
    world.driver.letCreate();
    for (const lease of await Promise.all(waiting)) lease.release();
    expect(world.driver.created.length).toBe(10);
  });

  it('serves tenants in turns: the burst of one is not in the way of another', async () => {
    await using world = await makeWorld({ pool: { minBlank: 0, maxBlank: 0, startConcurrency: 1 } });
    world.driver.isHeld = true;
    const served: string[] = [];
    const call = async (key: string, tenant: string): Promise<void> => {
      const lease = await world.sandboxes.acquire(makeRunnable(key, {}, tenant), never);
      served.push(key);
      lease.release();
    };
    const calls = Array.from({ length: 10 }, (_, index) => call(`mine${index}`, 'acme'));
    calls.push(call('theirs0', 'globex'), call('theirs1', 'globex'));
    await settled();
    world.driver.letCreate();
    await Promise.all(calls);
    expect(served.slice(0, 5)).toEqual(['mine0', 'theirs0', 'mine1', 'theirs1', 'mine2']);
  });

  it('grows with a burst of claims up to maxBlank, and shrinks when it is calm', async () => {
    await using world = await makeWorld({ pool: { minBlank: 1, maxBlank: 4, startConcurrency: 4 } });
    for (let count = 0; count < 8; count++) await invoke(world, makeRunnable(`f${count}`));
    await world.clock.advance(REFILL_MS);
    expect(world.sandboxes.stats().blank).toBe(4);
    await world.clock.advance(60_000);
    expect(world.sandboxes.stats().blank).toBe(1);
  });

  it('keeps the sandbox of a caller who left for the next', async () => {
    await using world = await makeWorld({ pool: { minBlank: 0, maxBlank: 2, startConcurrency: 3 } });
    world.driver.isHeld = true;
    const caller = new AbortController();
    const refused = failureOf(world.sandboxes.acquire(makeRunnable('hello'), caller.signal));
    await settled();
    caller.abort(new Error('left'));
    await refused;
    world.driver.letCreate();
    await settled();
    expect(world.sandboxes.stats()).toMatchObject({ blank: 1, claimed: 0, waiting: 0 });
  });

  it('never has more sandboxes than the host may hold, those that are being destroyed included', async () => {
    await using world = await makeWorld({
      maxSandboxes: 3,
      pool: { minBlank: 2, maxBlank: 2, startConcurrency: 4 },
    });
    for (let count = 0; count < 12; count++) {
      const { inner } = await invoke(world, makeRunnable(`f${count}`, {}, `t${count % 5}`));
      inner.done();
      expect(world.driver.live.size).toBeLessThanOrEqual(3);
    }
  });
});

describe('a driver that fails', () => {
  it('fails who waits with SANDBOX_START_FAILED, and the next request tries again', async () => {
    await using world = await makeWorld({ pool: { minBlank: 0, maxBlank: 0, startConcurrency: 2 } });
    world.driver.failCreates = 1;
    await expect(world.sandboxes.acquire(makeRunnable('hello'), never)).rejects.toMatchObject({
      code: 'SANDBOX_START_FAILED',
    });
    expect(world.sandboxes.isReady()).toBe(false);
    await invoke(world, makeRunnable('hello'));
    expect(world.sandboxes.isReady()).toBe(true);
    expect(world.events).toContainEqual({ kind: 'start-failed' });
  });

  it('is tried for the pool with growing pauses, not in a loop', async () => {
    await using world = await makeWorld();
    world.driver.failCreates = Number.POSITIVE_INFINITY;
    await invoke(world, makeRunnable('hello'));
    await settled();
    const soon = world.driver.created.length;
    await world.clock.advance(60_000);
    expect(world.driver.created.length - soon).toBeLessThan(12);
    world.driver.failCreates = 0;
    await world.clock.advance(60_000);
    expect(world.sandboxes.stats().blank).toBe(2);
  });

  it('does not hang when the runtime never says hello', async () => {
    await using world = await makeWorld({ pool: { minBlank: 0, maxBlank: 0, startConcurrency: 2 } });
    world.greetsByItself = false;
    const refused = failureOf(world.sandboxes.acquire(makeRunnable('hello', { queueMs: 60_000 }), never));
    await world.clock.advance(8_000);
    expect(await refused).toMatchObject({ code: 'SANDBOX_START_FAILED' });
    await world.clock.advance(8_000);
    expect(world.driver.live.size).toBe(0);
  });

  it('does not hang when the process ends while it starts', async () => {
    await using world = await makeWorld({ pool: { minBlank: 0, maxBlank: 0, startConcurrency: 2 } });
    world.greetsByItself = false;
    const refused = failureOf(world.sandboxes.acquire(makeRunnable('hello'), never));
    await settled();
    world.driver.exit(world.driver.created[0]!.id, { code: 127, stderrTail: 'no such file' });
    expect(await refused).toBeInstanceOf(BerthError);
    expect(world.platformLog).toContain('a sandbox ended while it started');
  });

  it('is asked again to destroy what it did not destroy', async () => {
    await using world = await makeWorld();
    const { id, inner } = await invoke(world, makeRunnable('hello', { idleMs: 1_000 }));
    world.driver.failDestroys = 2;
    inner.done();
    await world.clock.advance(5_000);
    expect(world.driver.destroyed).toContain(id);
    expect(world.platformLog).toContain('a sandbox was not destroyed');
  });

  it('keeps its place on the host until it is removed, however long the driver fails; then the place is free', async () => {
    await using world = await makeWorld({
      maxSandboxes: 1,
      pool: { minBlank: 0, maxBlank: 0, startConcurrency: 2 },
    });
    const { id, inner } = await invoke(world, makeRunnable('hello', { idleMs: 1_000 }));
    world.driver.failDestroys = 4;
    inner.done();
    await advanceUntil(world, () => world.platformLog.includes('a sandbox was not removed'));
    const waiting = world.sandboxes.acquire(makeRunnable('next', { queueMs: 60_000 }), never);
    await settled();
    expect(world.driver.created).toHaveLength(1);
    await advanceUntil(world, () => world.driver.destroyed.includes(id));
    (await waiting).release();
  });
});

/** Files are removed in real time meanwhile, so it may take more steps on a busy host. */
async function advanceUntil(world: World, check: () => boolean): Promise<void> {
  for (let step = 0; step < 100 && !check(); step++) await world.clock.advance(500);
  expect(check()).toBe(true);
}

function loadCount(world: World): number {
  return world.channels.reduce((count, { loads }) => count + loads.length, 0);
}
