/** Idle sandboxes get no CPU, and nobody who asks something of them notices. */
import { describe, expect, it } from 'vitest';
import { asSandboxId } from '../contracts/ids.ts';
import { FakeClock, settled } from '../kernel/testing/fake-clock.ts';
import { Freezer } from './freezer.ts';
import {
  invoke,
  listen,
  request,
  makeRunnable,
  makeWorld,
  type Started,
  type World,
  type WorldOptions,
} from './testing/world.ts';

const SECOND = 1_000;
const FREEZE_MS = 10 * SECOND;

const world = (options: WorldOptions = {}): Promise<World> =>
  makeWorld({
    pool: { minBlank: 1, maxBlank: 1, startConcurrency: 2 },
    facts: { canFreeze: true },
    ...options,
  });

/** A function that has answered once. */
async function answered(world: World, limits: Parameters<typeof makeRunnable>[1] = {}): Promise<Started> {
  const started = await invoke(world, makeRunnable('hello', limits));
  started.inner.done();
  await settled();
  return started;
}

describe('an idle sandbox', () => {
  it('is frozen after freezeMs, once, and thawed by the next request, before anything is sent to it', async () => {
    await using host = await world();
    const { id, channel } = await answered(host);
    await host.clock.advance(FREEZE_MS - SECOND);
    expect(host.driver.frost).toEqual([]);
    await host.clock.advance(5 * SECOND);
    expect(host.driver.frost).toEqual([`freeze ${id}`]);
    expect(host.sandboxes.stats()).toMatchObject({ claimed: 1, frozen: 1 });
    const runnable = makeRunnable('hello');
    const lease = host.sandboxes.tryAcquire(runnable)!;
    // At once, and not only when the driver has answered.
    expect(lease).not.toBeNull();
    expect(host.driver.frost).toEqual([`freeze ${id}`, `thaw ${id}`]);
    expect(channel.sent).toEqual(['exercise with fetch', 'load', 'request']);
    expect(host.sandboxes.stats()).toMatchObject({ claimed: 1, frozen: 0 });
    lease.release();
    await host.clock.advance(FREEZE_MS + SECOND);
    expect(host.driver.frost.slice(2)).toEqual([`freeze ${id}`]);
  });

  it('that is asked often enough never meets the freezer', async () => {
    await using host = await world();
    await answered(host);
    for (let second = 0; second < 30; second++) {
      await host.clock.advance(SECOND);
      (await invoke(host, makeRunnable('hello'))).inner.done();
    }
    expect(host.driver.frost).toEqual([]);
  });

  it('is removed after idleMs, frozen as it is', async () => {
    await using host = await world();
    const { id } = await answered(host, { idleMs: 20 * SECOND });
    await host.clock.advance(22 * SECOND);
    expect(host.driver.frost).toEqual([`freeze ${id}`]);
    expect(host.driver.destroyed).toContain(id);
    expect(host.sandboxes.stats()).toMatchObject({ claimed: 0, frozen: 0 });
  });

  it('that is blank is not frozen: what is claimed answers at once', async () => {
    await using host = await world();
    await host.clock.advance(60 * SECOND);
    expect(host.sandboxes.stats().blank).toBe(1);
    expect(host.driver.frost).toEqual([]);
  });

  it.each<[string, WorldOptions, Parameters<typeof makeRunnable>[1]]>([
    ['whose driver cannot', { facts: { canFreeze: false } }, {}],
    ['whose tenant has a freezeMs of 0', {}, { freezeMs: 0 }],
  ])('%s is left as it is', async (_which, options, limits) => {
    await using host = await world(options);
    await answered(host, limits);
    await host.clock.advance(60 * SECOND);
    expect(host.driver.frost).toEqual([]);
  });
});

describe('a sandbox is not frozen', () => {
  it('while an invocation runs, or waits for what it promised', async () => {
    await using host = await world();
    const { inner } = await invoke(host, makeRunnable('hello', { wallMs: 900 * SECOND }));
    await host.clock.advance(30 * SECOND);
    expect(host.driver.frost).toEqual([]);
    inner.done();
    await host.clock.advance(FREEZE_MS + SECOND);
    expect(host.driver.frost).toHaveLength(1);
  });

  it('while an invocation that was cancelled has not ended', async () => {
    await using host = await world();
    const { invocation, inner } = await invoke(host, makeRunnable('hello', { freezeMs: 2 * SECOND }));
    invocation.cancel('client-gone');
    await host.clock.advance(8 * SECOND);
    expect(host.driver.frost).toEqual([]);
    inner.done();
    await host.clock.advance(SECOND);
    expect(host.driver.frost).toHaveLength(1);
  });

  it('while it talks to somebody outside, and freezeMs from then on', async () => {
    await using host = await world();
    const { channel } = await answered(host);
    channel.egressAt = Number.POSITIVE_INFINITY;
    await host.clock.advance(30 * SECOND);
    channel.egressAt = host.clock.monotonic();
    await host.clock.advance(FREEZE_MS - SECOND);
    expect(host.driver.frost).toEqual([]);
    await host.clock.advance(2 * SECOND);
    expect(host.driver.frost).toHaveLength(1);
  });

  it('while it owes a pong: code that blocks after its answer is found, not frozen', async () => {
    await using host = await world();
    const { inner, channel, id } = await invoke(
      host,
      makeRunnable('hello', { freezeMs: 1, blockedMs: 3_000 }),
    );
    channel.answersPings = false;
    await host.clock.advance(800);
    expect(channel.pings).toHaveLength(1);
    inner.done();
    await host.clock.advance(2 * SECOND);
    expect(host.driver.frost).toEqual([]);
    await host.clock.advance(20 * SECOND);
    expect(host.driver.destroyed).toContain(id);
    expect(host.driver.frost).toEqual([]);
  });
});

describe('when the driver fails', () => {
  it('to freeze, it is told once, and the next request thaws all the same', async () => {
    await using host = await world();
    const { id } = await answered(host);
    host.driver.failFreezes = true;
    await host.clock.advance(15 * SECOND);
    expect(host.platformLog.filter((line) => line === 'a sandbox was not frozen')).toHaveLength(1);
    host.driver.failFreezes = false;
    (await invoke(host, makeRunnable('hello'))).inner.done();
    expect(host.driver.frost).toEqual([`freeze ${id}`, `thaw ${id}`]);
  });

  it('to thaw, the sandbox is ended, and who waited for it hears so', async () => {
    await using host = await world();
    const { id } = await answered(host);
    await host.clock.advance(12 * SECOND);
    host.driver.failFreezes = true;
    const heard = listen();
    host.sandboxes.tryAcquire(makeRunnable('hello'))!.invoke(request, heard);
    await settled();
    expect(heard.calls).toEqual(['failed INTERNAL']);
    expect(host.driver.destroyed).toContain(id);
    expect(host.platformLog).toContain('a sandbox was not thawed; it is ended');
  });
});

it('many that become idle together are frozen some at a time: a thaw does not wait for all of them', async () => {
  const asked: string[] = [];
  const kept: (() => void)[] = [];
  const keep = (id: string): Promise<void> => {
    asked.push(id);
    return new Promise((resolve) => kept.push(resolve));
  };
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
  };
  const freezer = new Freezer({ driver: { freeze: keep, thaw: keep }, clock: new FakeClock(), log });
  const idle = Array.from({ length: 100 }, (_, n) => ({
    id: asSandboxId(`s${String(n).padStart(12, '0')}`),
    end: () => undefined,
  }));
  for (const sandbox of idle) freezer.freeze(sandbox);
  expect(asked.length).toBe(freezer.size);
  expect(freezer.size).toBeLessThan(idle.length);
  for (const resolve of kept) resolve();
  await settled();
  for (const sandbox of idle) freezer.freeze(sandbox);
  expect(asked).toEqual(idle.map(({ id }) => id));
});
