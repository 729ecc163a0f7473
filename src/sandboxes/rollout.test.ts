import { describe, expect, it } from 'vitest';
import { settled } from '../kernel/testing/fake-clock.ts';
import { ownKind } from '../drivers/facts.ts';
import { invoke, makeRunnable, makeWorld, type World } from './testing/world.ts';

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

describe('kinds of sandboxes', () => {
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
