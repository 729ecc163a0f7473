import { describe, expect, it } from 'vitest';
import { settled } from '../kernel/testing/fake-clock.ts';
import { ownKind } from '../drivers/facts.ts';
import { failureOf, invoke, makeRunnable, makeWorld, type World } from './testing/world.ts';

const hardened = { ...ownKind, isolation: 'hardened' } as const;

async function rollOut(world: World): Promise<void> {
  const done = world.sandboxes.rollout();
  for (let step = 0; step < 20; step++) await world.clock.advance(20);
  await done;
  await settled();
}

describe('a rollout', () => {
  it('replaces the pool: no blank sandbox of the old make is claimed', async () => {
    await using world = await makeWorld();
    const old = [...world.driver.live.keys()];
    await rollOut(world);
    expect(world.driver.refreshed).toBe(1);
    expect(world.sandboxes.stats().blank).toBe(2);
    expect(world.driver.destroyed.sort()).toEqual(old.sort());
    const { id } = await invoke(world, makeRunnable('hello'));
    expect(old).not.toContain(id);
  });

  it('replaces a sandbox in use: what runs in it ends there, what comes next gets the new one', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello');
    const first = await invoke(world, runnable);
    await rollOut(world);
    expect(world.driver.destroyed).not.toContain(first.id);
    const second = await invoke(world, runnable);
    expect(second.id).not.toBe(first.id);
    first.inner.done();
    await settled();
    expect(first.heard.calls).toEqual(['done']);
    expect(world.driver.destroyed).toContain(first.id);
  });

  it('never leaves a function without a sandbox: the old one serves until the new one has loaded', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello');
    const { inner, id } = await invoke(world, runnable);
    inner.done();
    await settled();
    world.loadsByItself = false;
    await rollOut(world);
    expect(world.driver.destroyed).not.toContain(id);
    const lease = world.sandboxes.tryAcquire(runnable);
    expect(lease).not.toBeNull();
    lease!.release();
  });
});

describe('a replacement', () => {
  it('that is taken back with the orders of those who waited is not: it comes all the same', async () => {
    await using world = await makeWorld({ pool: { minBlank: 0, maxBlank: 0, startConcurrency: 4 } });
    const runnable = makeRunnable('hello', { concurrencyPerSandbox: 1 });
    const busy = await invoke(world, runnable);
    world.driver.isHeld = true;
    await rollOut(world);
    // It waits for a place beside the replacement, and leaves.
    const leaving = new AbortController();
    const waiting = world.sandboxes.acquire(runnable, leaving.signal);
    waiting.catch(() => undefined);
    leaving.abort();
    await settled();
    world.driver.letCreate();
    await settled();
    expect(world.sandboxes.tryAcquire(runnable)).not.toBeNull();
    busy.inner.done();
    await settled();
    expect(world.driver.destroyed).toContain(busy.id);
  });

  it('that does not start or load is tried again after a while, until it is there', async () => {
    await using world = await makeWorld({ pool: { minBlank: 0, maxBlank: 0, startConcurrency: 4 } });
    const runnable = makeRunnable('hello');
    const first = await invoke(world, runnable);
    world.driver.failCreates = 1;
    await rollOut(world);
    expect(world.driver.failCreates).toBe(0);
    expect(world.driver.created).toHaveLength(2);
    await world.clock.advance(8_000);
    expect(world.driver.created).toHaveLength(2);
    await world.clock.advance(4_000);
    expect(world.driver.created).toHaveLength(3);
    first.inner.done();
    await settled();
    expect(world.driver.destroyed).toContain(first.id);
    expect((await invoke(world, runnable)).id).toBe(world.driver.created[2]!.id);
  });

  it('is ordered for a sandbox that was being loaded when the rollout came', async () => {
    await using world = await makeWorld();
    world.loadsByItself = false;
    const runnable = makeRunnable('slow');
    let give = (): void => undefined;
    const code = new Promise<Buffer>((resolve) => (give = () => resolve(Buffer.from('code'))));
    const load = runnable.load;
    runnable.load = () => code;
    const waiting = world.sandboxes.acquire(runnable, AbortSignal.timeout(60_000));
    await settled();
    await rollOut(world);
    runnable.load = load;
    world.loadsByItself = true;
    give();
    const lease = await waiting;
    lease.release();
    const old = world.driver.created.filter(({ id }) => world.driver.live.has(id))[0]!.id;
    await world.clock.advance(2_000);
    expect(world.driver.destroyed).toContain(old);
    expect(world.sandboxes.tryAcquire(runnable)).not.toBeNull();
  });
});

describe('a rollout that comes to nothing', () => {
  it('is told, and the sandboxes in use serve on', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello');
    const { inner, id } = await invoke(world, runnable);
    inner.done();
    world.driver.failCreates = 1_000;
    const failure = failureOf(world.sandboxes.rollout());
    await world.clock.advance(12_000);
    expect(await failure).toMatchObject({ code: 'SANDBOX_START_FAILED' });
    expect(world.driver.destroyed).not.toContain(id);
    expect(world.sandboxes.tryAcquire(runnable)).not.toBeNull();
    world.driver.failCreates = 0;
  });

  it('changes nothing when the driver cannot say what there is now', async () => {
    await using world = await makeWorld();
    const blank = [...world.driver.live.keys()];
    world.driver.refresh = () => Promise.reject(new Error('no engine'));
    expect(await failureOf(world.sandboxes.rollout())).toMatchObject({ code: 'SANDBOX_START_FAILED' });
    expect([...world.driver.live.keys()]).toEqual(blank);
  });
});

describe('a kind that is not to be had', () => {
  it('is refused at once, never replaced by a weaker or another one', async () => {
    await using world = await makeWorld();
    const risky = makeRunnable('risky');
    risky.currentKind = hardened;
    const old = { ...makeRunnable('old'), nodeRange: '<23' };
    old.kind = () => ({ isolation: 'standard', nodeMajor: 1 });
    const never = new AbortController().signal;
    expect(await failureOf(world.sandboxes.acquire(risky, never))).toMatchObject({
      code: 'ISOLATION_UNAVAILABLE',
    });
    expect(await failureOf(world.sandboxes.acquire(old, never))).toMatchObject({
      code: 'NODE_UNAVAILABLE',
      message: expect.stringContaining('"<23"'),
    });
    expect(world.driver.created).toHaveLength(2);
    expect(world.sandboxes.stats()).toMatchObject({ blank: 2, waiting: 0, claimed: 0 });
  });

  it('leaves what has it in peace: the old image of a Node that is gone serves on', async () => {
    await using world = await makeWorld({ facts: { hasHardened: true } });
    const runnable = makeRunnable('risky');
    runnable.currentKind = hardened;
    const { inner, id } = await invoke(world, runnable);
    inner.done();
    await rollOut(world);
    await world.clock.advance(30_000);
    expect(world.driver.destroyed).not.toContain(id);
    expect(world.sandboxes.tryAcquire(runnable)).not.toBeNull();
  });
});

describe('kinds of sandboxes', () => {
  it('one that does not start holds up no other: the pool of the default kind is filled', async () => {
    await using world = await makeWorld({ facts: { hasHardened: true } });
    const create = world.driver.create.bind(world.driver);
    world.driver.create = (spec, signal) => {
      if (spec.kind.isolation === 'hardened') world.driver.failCreates += 1;
      return create(spec, signal);
    };
    const risky = makeRunnable('risky');
    risky.currentKind = hardened;
    for (let call = 0; call < 12; call++) {
      await failureOf(world.sandboxes.acquire(risky, new AbortController().signal));
      await world.clock.advance(1_100);
    }
    await invoke(world, makeRunnable('one'));
    await invoke(world, makeRunnable('two'));
    await world.clock.advance(100);
    expect(world.sandboxes.stats().blank).toBe(2);
    expect(world.sandboxes.isReady()).toBe(true);
  });

  it('a tenant with hardened isolation gets a sandbox of that kind, and the pool keeps some at hand', async () => {
    await using world = await makeWorld({ facts: { hasHardened: true } });
    const runnable = makeRunnable('risky');
    runnable.currentKind = hardened;
    const { id } = await invoke(world, runnable);
    expect(world.driver.created.find((spec) => spec.id === id)?.kind).toEqual(hardened);
    await settled();
    const next = makeRunnable('risky-too');
    next.currentKind = hardened;
    await invoke(world, next);
    expect(world.events.filter((event) => event.kind === 'claimed')).toMatchObject([
      { wasBlank: false },
      { wasBlank: true },
    ]);
  });

  it('a tenant whose isolation changes gets another sandbox', async () => {
    await using world = await makeWorld({ facts: { hasHardened: true } });
    const runnable = makeRunnable('hello');
    const first = await invoke(world, runnable);
    first.inner.done();
    runnable.currentKind = hardened;
    await world.sandboxes.applyLimits(runnable.tenant);
    const second = await invoke(world, runnable);
    expect(second.id).not.toBe(first.id);
    expect(world.driver.destroyed).toContain(first.id);
  });
});

describe('limits that a runtime cannot change', () => {
  it('are given to a sandbox when it is made; a blank one with others is not claimed', async () => {
    await using world = await makeWorld({ facts: { fixedLimits: ['tmpBytes'] } });
    const blank = [...world.driver.live.keys()];
    const { id } = await invoke(world, makeRunnable('hello', { tmpBytes: 5_000_000 }));
    expect(blank).not.toContain(id);
    expect(world.driver.created.find((spec) => spec.id === id)?.limits.tmpBytes).toBe(5_000_000);
    expect(world.driver.updates).toEqual([]);
  });

  it('are not asked of the driver for a live one: it is replaced', async () => {
    await using world = await makeWorld({ facts: { fixedLimits: ['tmpBytes'] } });
    const runnable = makeRunnable('hello');
    const first = await invoke(world, runnable);
    runnable.current = { ...runnable.current, tmpBytes: 5_000_000 };
    await world.sandboxes.applyLimits(runnable.tenant);
    expect(world.driver.updates).toEqual([]);
    const second = await invoke(world, runnable);
    expect(second.id).not.toBe(first.id);
  });
});
