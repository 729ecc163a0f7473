import { describe, expect, it } from 'vitest';
import { settled } from '../kernel/testing/fake-clock.ts';
import { failureOf, invoke, listen, makeRunnable, makeWorld, request } from './testing/world.ts';

const never = new AbortController().signal;

describe('acquiring a place', () => {
  it('claims a blank sandbox, sends the revision and the request right behind it', async () => {
    await using world = await makeWorld();
    world.loadsByItself = false;
    expect(world.sandboxes.stats()).toMatchObject({ blank: 2, claimed: 0 });
    const { channel } = await invoke(world, makeRunnable('hello'));
    expect(channel.sent).toEqual(['exercise with fetch', 'load', 'request']);
    expect(channel.loads[0]!.toString()).toBe('code of hello');
    await world.clock.advance(20);
    expect(world.sandboxes.stats()).toEqual({
      blank: 2,
      starting: 0,
      claimed: 1,
      frozen: 0,
      ending: 0,
      inFlight: 1,
      waiting: 0,
    });
  });

  it('serves a warm function without a promise, and never before it was claimed', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello');
    expect(world.sandboxes.tryAcquire(runnable)).toBeNull();
    const first = await invoke(world, runnable);
    first.inner.done();
    const lease = world.sandboxes.tryAcquire(runnable);
    expect(lease).not.toBeNull();
    expect(world.sandboxes.stats().inFlight).toBe(1);
    lease!.release();
    lease!.release();
    expect(world.sandboxes.stats().inFlight).toBe(0);
    expect(runnable.loads).toBe(1);
  });

  it('passes events and verbs through, and frees the place with done', async () => {
    await using world = await makeWorld();
    const { heard, inner, invocation } = await invoke(world, makeRunnable('hello'));
    inner.events.onResponse({ status: 200, headers: [] }, Buffer.alloc(0), false);
    inner.events.onData(Buffer.from('x'), true);
    inner.events.onWritable();
    expect(invocation.writableBytes).toBe(1_000);
    expect(invocation.write(Buffer.from('y'), true)).toBe(true);
    invocation.consumed(7);
    inner.done();
    expect(heard.calls).toEqual(['response', 'data', 'writable', 'done']);
    expect(inner.consumedBytes).toBe(7);
    expect(world.sandboxes.stats().inFlight).toBe(0);
  });

  it('a lease is for one invocation', async () => {
    await using world = await makeWorld();
    const { lease } = await invoke(world, makeRunnable('hello'));
    expect(() => lease.invoke(request, listen())).toThrow('one invocation');
  });

  it('chooses the sandbox with the fewest in flight', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello', { concurrencyPerSandbox: 2, sandboxesPerFunction: 2 });
    const started = [];
    for (let count = 0; count < 3; count++) started.push(await invoke(world, runnable));
    expect(started[0]!.channel).toBe(started[1]!.channel);
    expect(started[2]!.channel).not.toBe(started[0]!.channel);
    started[0]!.inner.done();
    started[1]!.inner.done();
    const next = await invoke(world, runnable);
    expect(next.channel).toBe(started[0]!.channel);
  });

  it('starts more sandboxes for a busy function, up to sandboxesPerFunction', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello', { concurrencyPerSandbox: 1, sandboxesPerFunction: 3 });
    for (let count = 0; count < 3; count++) await invoke(world, runnable);
    expect(world.sandboxes.stats().claimed).toBe(3);
    const waiting = world.sandboxes.acquire(runnable, never);
    await settled();
    expect(world.sandboxes.stats()).toMatchObject({ claimed: 3, waiting: 1 });
    waiting.catch(() => undefined);
  });

  it('who waits gets the place that becomes free, in order, before who comes later', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello', { concurrencyPerSandbox: 1, sandboxesPerFunction: 1 });
    const running = await invoke(world, runnable);
    const order: number[] = [];
    const leases = [1, 2].map(async (number) => {
      const lease = await world.sandboxes.acquire(runnable, never);
      order.push(number);
      return lease;
    });
    await settled();
    expect(world.sandboxes.tryAcquire(runnable)).toBeNull();
    running.inner.done();
    (await leases[0]!).release();
    (await leases[1]!).release();
    expect(order).toEqual([1, 2]);
    expect(world.sandboxes.stats()).toMatchObject({ waiting: 0, inFlight: 0 });
    expect(world.events.filter(({ kind }) => kind === 'queue-wait').length).toBe(3);
  });

  it('refuses at once when the queue of the tenant is full', async () => {
    await using world = await makeWorld();
    const limits = { concurrencyPerSandbox: 1, sandboxesPerFunction: 1, queue: 1 };
    const [one, other] = [makeRunnable('one', limits), makeRunnable('other', limits)];
    await invoke(world, one);
    await invoke(world, other);
    const waiting = world.sandboxes.acquire(one, never);
    await settled();
    await expect(world.sandboxes.acquire(other, never)).rejects.toMatchObject({
      code: 'QUEUE_FULL',
      facts: { name: 'queue', limit: 1 },
    });
    waiting.catch(() => undefined);
  });

  it('a cold start is not queueing: it works with a queue of nothing', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello', { queue: 0, concurrencyPerSandbox: 1, sandboxesPerFunction: 1 });
    await invoke(world, runnable);
    await expect(world.sandboxes.acquire(runnable, never)).rejects.toMatchObject({ code: 'QUEUE_FULL' });
  });

  it('gives up after queueMs', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello', {
      concurrencyPerSandbox: 1,
      sandboxesPerFunction: 1,
      queueMs: 300,
    });
    await invoke(world, runnable);
    const refused = failureOf(world.sandboxes.acquire(runnable, never));
    await world.clock.advance(299);
    expect(world.sandboxes.stats().waiting).toBe(1);
    await world.clock.advance(1);
    expect(await refused).toMatchObject({ code: 'QUEUE_TIMEOUT', facts: { limit: 300 } });
    expect(world.sandboxes.stats().waiting).toBe(0);
  });

  it('stops waiting when the caller leaves', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello', { concurrencyPerSandbox: 1, sandboxesPerFunction: 1 });
    const { inner } = await invoke(world, runnable);
    const caller = new AbortController();
    const left = new Error('left');
    const refused = failureOf(world.sandboxes.acquire(runnable, caller.signal));
    caller.abort(left);
    expect(await refused).toBe(left);
    inner.done();
    expect(world.sandboxes.stats()).toMatchObject({ waiting: 0, inFlight: 0 });
    await expect(world.sandboxes.acquire(runnable, caller.signal)).rejects.toThrow('left');
  });

  it('a cancelled invocation frees its place at once and ends with done', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello', { concurrencyPerSandbox: 1, sandboxesPerFunction: 1 });
    const { invocation, inner, heard } = await invoke(world, runnable);
    invocation.cancel('client-gone');
    expect(inner.cancelled).toBe('client-gone');
    expect(world.sandboxes.stats().inFlight).toBe(0);
    world.sandboxes.tryAcquire(runnable)!.release();
    inner.events.onData(Buffer.from('late'), true);
    inner.done();
    expect(heard.calls).toEqual(['done']);
  });

  it('holds no more sandboxes of a tenant than sandboxesPerTenant: an idle one of another function goes', async () => {
    await using world = await makeWorld();
    const limits = { sandboxesPerTenant: 2 };
    const first = await invoke(world, makeRunnable('one', limits));
    const second = await invoke(world, makeRunnable('two', limits));
    first.inner.done();
    await world.clock.advance(10);
    second.inner.done();
    await invoke(world, makeRunnable('three', limits));
    expect(world.driver.destroyed).toEqual([first.id]);
    expect(world.sandboxes.stats().claimed).toBe(2);
  });

  it('waits when all sandboxes of the tenant are busy, until one becomes idle', async () => {
    await using world = await makeWorld();
    const limits = { sandboxesPerTenant: 1 };
    const first = await invoke(world, makeRunnable('one', limits));
    const waiting = world.sandboxes.acquire(makeRunnable('two', limits), never);
    await settled();
    expect(world.sandboxes.stats()).toMatchObject({ claimed: 1, waiting: 1 });
    await invoke(world, makeRunnable('three', limits, 'globex'));
    first.inner.done();
    await settled();
    (await waiting).release();
    expect(world.driver.destroyed).toEqual([first.id]);
  });

  it('replaces the longest idle sandbox of anybody when the host is full', async () => {
    await using world = await makeWorld({
      maxSandboxes: 2,
      pool: { minBlank: 0, maxBlank: 0, startConcurrency: 2 },
    });
    const first = await invoke(world, makeRunnable('one', {}, 'acme'));
    const second = await invoke(world, makeRunnable('two', {}, 'globex'));
    second.inner.done();
    await world.clock.advance(10);
    first.inner.done();
    await invoke(world, makeRunnable('three', {}, 'initech'));
    expect(world.driver.destroyed).toEqual([second.id]);
    expect(world.driver.live.size).toBe(2);
  });

  it('waits when the host is full of busy sandboxes, until one becomes idle', async () => {
    await using world = await makeWorld({
      maxSandboxes: 1,
      pool: { minBlank: 1, maxBlank: 1, startConcurrency: 2 },
    });
    const first = await invoke(world, makeRunnable('one', {}, 'acme'));
    const waiting = world.sandboxes.acquire(makeRunnable('two', {}, 'globex'), never);
    await settled();
    expect(world.driver.created.length).toBe(1);
    first.inner.done();
    await settled();
    (await waiting).release();
    expect(world.driver.destroyed).toEqual([first.id]);
  });
});
