import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { platformLimits } from '../contracts/limits.ts';
import type { TenantId } from '../contracts/ids.ts';
import { settled } from '../kernel/testing/fake-clock.ts';
import { failureOf, invoke, makeRunnable, makeWorld } from './testing/world.ts';

const never = new AbortController().signal;
const acme = 'acme' as TenantId;
const MiB = 1024 * 1024;

describe('idle sandboxes', () => {
  it('go after idleMs without use', async () => {
    await using world = await makeWorld();
    const { id, inner } = await invoke(world, makeRunnable('hello', { idleMs: 5_000 }));
    await world.clock.advance(60_000);
    expect(world.driver.destroyed).toEqual([]);
    inner.done();
    await world.clock.advance(4_000);
    expect(world.driver.destroyed).toEqual([]);
    await world.clock.advance(2_000);
    expect(world.driver.destroyed).toEqual([id]);
    expect(world.events).toContainEqual({ kind: 'ended', tenant: 'acme', reason: 'idle' });
  });

  it('stay while they are used now and then', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello', { idleMs: 5_000 });
    (await invoke(world, runnable)).inner.done();
    for (let count = 0; count < 5; count++) {
      await world.clock.advance(4_000);
      world.sandboxes.tryAcquire(runnable)!.release();
    }
    expect(world.driver.destroyed).toEqual([]);
  });

  it('say nothing in the log of the tenant', async () => {
    await using world = await makeWorld();
    (await invoke(world, makeRunnable('hello', { idleMs: 1_000 }))).inner.done();
    await world.clock.advance(10_000);
    expect(world.logs).toEqual([]);
  });
});

describe('a retired runnable', () => {
  it('loses its idle sandboxes at once', async () => {
    await using world = await makeWorld();
    const { id, inner } = await invoke(world, makeRunnable('hello'));
    inner.done();
    world.sandboxes.retire('hello');
    await settled();
    expect(world.driver.destroyed).toEqual([id]);
  });

  it('lets what runs end, takes nothing new, then goes', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello');
    const { id, inner, heard } = await invoke(world, runnable);
    world.sandboxes.retire('hello');
    expect(world.sandboxes.tryAcquire(runnable)).toBeNull();
    await world.clock.advance(5_000);
    expect(world.driver.destroyed).toEqual([]);
    inner.done();
    await settled();
    expect(heard.calls).toEqual(['done']);
    expect(world.driver.destroyed).toEqual([id]);
    expect(world.logs).toEqual([]);
  });

  it('is broken off after wallMs', async () => {
    await using world = await makeWorld();
    const { heard } = await invoke(world, makeRunnable('hello', { wallMs: 3_000 }));
    world.sandboxes.retire('hello');
    await world.clock.advance(2_000);
    expect(heard.calls).toEqual([]);
    await world.clock.advance(2_000);
    expect(heard.error).toMatchObject({ code: 'TIMEOUT', facts: { limit: 3_000 } });
  });

  it('goes on while it moves, either way, until it stands still for wallMs', async () => {
    await using world = await makeWorld();
    const { heard, channel } = await invoke(world, makeRunnable('hello', { wallMs: 3_000 }));
    world.sandboxes.retire('hello');
    for (let second = 0; second < 20; second++) {
      if (second % 2 === 0) channel.progress += 1;
      else channel.grants += 1;
      await world.clock.advance(1_000);
    }
    expect(heard.calls).toEqual([]);
    await world.clock.advance(4_000);
    expect(heard.error).toMatchObject({ code: 'TIMEOUT', facts: { limit: 3_000 } });
  });

  it('does not go on for ever', async () => {
    await using world = await makeWorld();
    const { heard, channel } = await invoke(world, makeRunnable('hello', { wallMs: 60_000 }));
    world.sandboxes.retire('hello');
    const limit = platformLimits.drainMs.value;
    for (let at = 0; at < limit - 30_000; at += 30_000) {
      channel.progress += 1;
      await world.clock.advance(30_000);
    }
    expect(heard.calls).toEqual([]);
    channel.progress += 1;
    await world.clock.advance(31_000);
    expect(heard.error).toMatchObject({ code: 'REVISION_REPLACED', facts: { limit } });
  });

  it('still serves who waited for it', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello', { concurrencyPerSandbox: 1, sandboxesPerFunction: 1 });
    const { inner, channel } = await invoke(world, runnable);
    const waiting = world.sandboxes.acquire(runnable, never);
    await settled();
    world.sandboxes.retire('hello');
    inner.done();
    (await waiting).release();
    await settled();
    expect(channel.closedWith).not.toBeNull();
    expect(world.sandboxes.stats()).toMatchObject({ claimed: 0, waiting: 0 });
  });

  it('still serves who waited for its first sandbox, with the old revision', async () => {
    await using world = await makeWorld({ pool: { minBlank: 0, maxBlank: 0, startConcurrency: 2 } });
    world.driver.isHeld = true;
    const waiting = world.sandboxes.acquire(makeRunnable('hello'), never);
    await settled();
    world.sandboxes.retire('hello');
    world.driver.letCreate();
    (await waiting).release();
    await settled();
    expect(world.channels[0]!.loads[0]!.toString()).toBe('code of hello');
    expect(world.sandboxes.stats().claimed).toBe(0);
  });

  it('goes when its revision is loading for nobody', async () => {
    await using world = await makeWorld();
    const runnable = { ...makeRunnable('hello'), load: () => new Promise<Buffer>(() => undefined) };
    const caller = new AbortController();
    const refused = failureOf(world.sandboxes.acquire(runnable, caller.signal));
    await settled();
    caller.abort(new Error('left'));
    await refused;
    world.sandboxes.retire('hello');
    await settled();
    expect(world.sandboxes.stats().claimed).toBe(0);
  });

  it('may come back', async () => {
    await using world = await makeWorld();
    const first = await invoke(world, makeRunnable('hello'));
    world.sandboxes.retire('hello');
    const second = await invoke(world, makeRunnable('hello'));
    expect(second.id).not.toBe(first.id);
    world.sandboxes.retire('nobody');
  });
});

describe('cancelled invocations that do not end', () => {
  it('retire their sandbox after ten seconds', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello');
    const { id, invocation, heard } = await invoke(world, runnable);
    const other = await invoke(world, runnable);
    invocation.cancel('timeout');
    await world.clock.advance(9_000);
    expect(world.sandboxes.tryAcquire(runnable)?.release()).toBeUndefined();
    expect(world.driver.destroyed).toEqual([]);
    await world.clock.advance(2_000);
    expect(world.sandboxes.tryAcquire(runnable)).toBeNull();
    expect(world.driver.destroyed).toEqual([]);
    other.inner.done();
    await world.clock.advance(1_000);
    expect(world.driver.destroyed).toEqual([id]);
    expect(heard.calls).toEqual(['done']);
    expect(other.heard.calls).toEqual(['done']);
  });

  it('retire their sandbox at once when there are more than a hundred', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello');
    for (let count = 0; count < 101; count++)
      (await invoke(world, runnable)).invocation.cancel('client-gone');
    expect(world.sandboxes.tryAcquire(runnable)).toBeNull();
  });

  it('are no reason while the revision loads', async () => {
    await using world = await makeWorld();
    world.loadsByItself = false;
    const { invocation, channel } = await invoke(world, makeRunnable('hello', { loadMs: 30_000 }));
    invocation.cancel('timeout');
    await world.clock.advance(20_000);
    channel.events.onLoaded({ ok: true, form: 'context' });
    expect(world.sandboxes.stats().claimed).toBe(1);
  });

  it('are no reason when they end in time', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello');
    for (let count = 0; count < 20; count++) {
      const { invocation, inner } = await invoke(world, runnable);
      invocation.cancel('client-gone');
      await world.clock.advance(1_000);
      inner.done();
    }
    expect(world.sandboxes.tryAcquire(runnable)).not.toBeNull();
  });
});

describe('changed limits', () => {
  it('reach live sandboxes before applyLimits resolves', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello');
    const { id, channel } = await invoke(world, runnable);
    runnable.current = {
      ...runnable.current,
      cpuMillis: 300,
      logBytesPerSecond: 4_096,
    };
    await world.sandboxes.applyLimits(acme);
    expect(world.driver.updates).toMatchObject([{ id, limits: { cpuMillis: 300 } }]);
    expect(channel).toMatchObject({ logRate: 4_096 });
    await world.sandboxes.applyLimits('nobody' as TenantId);
  });

  it('replace sandboxes of another heap class, and change the old ones until they are gone', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello');
    const first = await invoke(world, runnable);
    runnable.current = { ...runnable.current, memoryBytes: 512 * MiB };
    await world.sandboxes.applyLimits(acme);
    expect(world.driver.updates).toMatchObject([{ id: first.id, limits: { memoryBytes: 512 * MiB } }]);
    const second = await invoke(world, runnable);
    expect(world.driver.created.find(({ id }) => id === second.id)?.heapMb).toBe(384);
    first.inner.done();
    expect(first.heard.calls).toEqual(['done']);
  });

  it('give places to who waits', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello', { concurrencyPerSandbox: 1, sandboxesPerFunction: 1 });
    await invoke(world, runnable);
    const waiting = world.sandboxes.acquire(runnable, never);
    await settled();
    runnable.current = { ...runnable.current, concurrencyPerSandbox: 2 };
    await world.sandboxes.applyLimits(acme);
    (await waiting).release();
  });

  it('let surplus sandboxes go, the least used first', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello', { concurrencyPerSandbox: 1, sandboxesPerFunction: 3 });
    const started = [];
    for (let count = 0; count < 3; count++) started.push(await invoke(world, runnable));
    started[1]!.inner.done();
    runnable.current = { ...runnable.current, sandboxesPerFunction: 2 };
    await world.sandboxes.applyLimits(acme);
    await settled();
    expect(world.driver.destroyed).toEqual([started[1]!.id]);
    runnable.current = { ...runnable.current, sandboxesPerTenant: 1 };
    await world.sandboxes.applyLimits(acme);
    started[0]!.inner.done();
    started[2]!.inner.done();
    await settled();
    expect(world.sandboxes.stats().claimed).toBe(1);
  });
});

describe('an evicted tenant', () => {
  it('loses all its sandboxes and who waits, before evict resolves; others do not notice', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello', { concurrencyPerSandbox: 1, sandboxesPerFunction: 1 });
    const mine = await invoke(world, runnable);
    const draining = await invoke(world, makeRunnable('old'));
    world.sandboxes.retire('old');
    const theirs = await invoke(world, makeRunnable('other', {}, 'globex'));
    const waiting = failureOf(world.sandboxes.acquire(runnable, never));
    await settled();
    await world.sandboxes.evict(acme);
    expect(await waiting).toMatchObject({ code: 'TENANT_SUSPENDED' });
    expect(mine.heard.error?.code).toBe('TENANT_SUSPENDED');
    expect(draining.heard.error?.code).toBe('TENANT_SUSPENDED');
    expect(world.driver.destroyed.toSorted()).toEqual([mine.id, draining.id].toSorted());
    theirs.inner.done();
    expect(theirs.heard.calls).toEqual(['done']);
    await world.sandboxes.evict(acme);
  });
});

describe('draining', () => {
  it('waits for what runs, refuses what comes, then destroys all', async () => {
    const world = await makeWorld();
    const runnable = makeRunnable('hello', { concurrencyPerSandbox: 1, sandboxesPerFunction: 1 });
    const { inner, heard } = await invoke(world, runnable);
    const waiting = world.sandboxes.acquire(runnable, never);
    await settled();
    const drained = world.sandboxes.drain(10_000);
    expect(world.sandboxes.isReady()).toBe(false);
    await expect(world.sandboxes.acquire(makeRunnable('new'), never)).rejects.toMatchObject({
      code: 'SHUTTING_DOWN',
    });
    await world.clock.advance(1_000);
    inner.done();
    (await waiting).release();
    await world.clock.advance(100);
    await drained;
    expect(heard.calls).toEqual(['done']);
    expect(world.driver.live.size).toBe(0);
    expect(world.clock.waiting).toBe(0);
    for (const { channelDir } of world.driver.created) expect(existsSync(channelDir)).toBe(false);
    await world[Symbol.asyncDispose]();
  });

  it('breaks off what still runs and waits after the grace', async () => {
    const world = await makeWorld();
    const runnable = makeRunnable('hello', { concurrencyPerSandbox: 1, sandboxesPerFunction: 1 });
    const { heard } = await invoke(world, runnable);
    const waiting = failureOf(world.sandboxes.acquire(runnable, never));
    const drained = world.sandboxes.drain(3_000);
    await world.clock.advance(2_900);
    expect(heard.calls).toEqual([]);
    await world.clock.advance(200);
    await drained;
    expect(heard.error?.code).toBe('SHUTTING_DOWN');
    expect(await waiting).toMatchObject({ code: 'SHUTTING_DOWN' });
    expect(world.driver.live.size).toBe(0);
    expect(world.sandboxes.stats()).toEqual({
      blank: 0,
      starting: 0,
      claimed: 0,
      frozen: 0,
      ending: 0,
      inFlight: 0,
      waiting: 0,
    });
    await world[Symbol.asyncDispose]();
  });

  it('does not wait for ever on a driver that does not destroy', async () => {
    const world = await makeWorld();
    await invoke(world, makeRunnable('hello'));
    world.driver.destroy = () => new Promise(() => undefined);
    const drained = world.sandboxes.drain(0);
    await world.clock.advance(16_000);
    await drained;
    expect(world.platformLog).toContain('sandboxes were not removed in time');
    await world.clock.advance(60_000);
    await world[Symbol.asyncDispose]();
  });
});
