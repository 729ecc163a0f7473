import { describe, expect, it } from 'vitest';
import type { SandboxId } from '../contracts/ids.ts';
import type { SandboxUsage, ThreadState } from '../drivers/driver.ts';
import { invoke, makeRunnable, makeWorld, type Started, type World } from './testing/world.ts';

/** Every sandbox uses this share of a core from now on. */
function burn(
  world: World,
  cores: number,
  mainThread: ThreadState = 'running',
  memoryAt: (ms: number) => number = () => 1,
): void {
  const since = world.clock.monotonic();
  world.driver.usageOf = (): SandboxUsage => {
    const ms = world.clock.monotonic() - since;
    const cpuMicros = Math.round(ms * 1_000 * cores);
    return {
      cpuMicros,
      memoryBytes: memoryAt(ms),
      pids: 1,
      mainThread,
      mainThreadMicros: cpuMicros,
      starvedMicros: 0,
    };
  };
}

/** As `burn`, on a host that lets it wait for a core the rest of the time that it `wants` one. */
function starve(world: World, cores: number, wants = 1): void {
  burn(world, cores);
  const { usageOf } = world.driver;
  world.driver.usageOf = (id): SandboxUsage => {
    const usage = usageOf(id)!;
    return { ...usage, starvedMicros: Math.round((usage.cpuMicros / cores) * (wants - cores)) };
  };
}

/** What burns is a child process or another thread: the main one takes this share of a core. */
function delegate(world: World, cores: number, own: number): void {
  burn(world, cores, 'sleeping');
  const { usageOf } = world.driver;
  world.driver.usageOf = (id): SandboxUsage => {
    const usage = usageOf(id)!;
    return { ...usage, mainThreadMicros: Math.round((usage.cpuMicros / cores) * own) };
  };
}

/** The sandbox's loop turns no more. */
async function block(
  world: World,
  cores: number,
  options: { mainThread?: ThreadState; cpuMillis?: number } = {},
): Promise<Started> {
  const started = await invoke(
    world,
    makeRunnable('hello', { blockedMs: 1_000, cpuMillis: options.cpuMillis ?? 1_000 }),
  );
  burn(world, cores, options.mainThread);
  started.channel.answersPings = false;
  return started;
}

/** Blocks its loop, burns a core, and uses so much of its 256 MiB after so many milliseconds. */
async function fill(world: World, mib: (ms: number) => number): Promise<Started> {
  const started = await block(world, 1);
  burn(world, 1, 'running', (ms) => Math.round(mib(ms) * 1024 * 1024));
  return started;
}

const frames = [
  { functionName: 'spin\x1b[31m', file: 'hello.js', line: 3, column: 7 },
  { functionName: 'handle', file: 'node:internal/http', line: 1, column: 1 },
];

describe('the watchdog', () => {
  it('kills what blocks its loop and burns CPU, within blockedMs and a quarter, and names the place', async () => {
    await using world = await makeWorld();
    world.driver.frames = frames;
    const { heard, id } = await block(world, 1);
    await world.clock.advance(1_000);
    expect(heard.calls).toEqual([]);
    await world.clock.advance(300);
    expect(heard.error).toMatchObject({
      code: 'EVENT_LOOP_BLOCKED',
      facts: { name: 'blockedMs', limit: 1_000, place: ' at hello.js:3:7 (spin)' },
    });
    expect(heard.error!.message).toContain('blockedMs (1000 ms) at hello.js:3:7 (spin).');
    expect(world.driver.destroyed).toContain(id);
    const line = world.logs.find(({ source }) => source === 'error');
    expect(line?.text).toContain('\n    at hello.js:3:7 (spin)');
    expect(line?.text).not.toContain('node:internal');
  });

  it('gives the error without the place when that is not found in time', async () => {
    await using world = await makeWorld();
    world.driver.locate = () => new Promise(() => undefined);
    const { heard } = await block(world, 1);
    await world.clock.advance(1_250);
    expect(heard.calls).toEqual([]);
    await world.clock.advance(2_500);
    expect(heard.error?.facts).toEqual({ name: 'blockedMs', limit: 1_000, place: '' });
  });

  it('judges CPU against the quota of the sandbox', async () => {
    await using world = await makeWorld();
    const { heard } = await block(world, 0.08, { cpuMillis: 100 });
    await world.clock.advance(1_300);
    expect(heard.error?.code).toBe('EVENT_LOOP_BLOCKED');
  });

  it.each(['sleeping', 'stopped'] as const)(
    'kills a main thread that is %s and does not answer',
    async (mainThread) => {
      await using world = await makeWorld();
      const { heard } = await block(world, 0, { mainThread });
      await world.clock.advance(1_300);
      expect(heard.error?.code).toBe('EVENT_LOOP_BLOCKED');
    },
  );

  it('waits on for a main thread that sleeps while other threads of its process work: it collects garbage', async () => {
    await using world = await makeWorld();
    const { heard } = await block(world, 0.1);
    await world.clock.advance(900);
    burn(world, 0.1, 'sleeping');
    await world.clock.advance(400);
    burn(world, 0.1);
    await world.clock.advance(3_000);
    expect(heard.calls).toEqual([]);
  });

  it('gives a sandbox that the host starves five times as long', async () => {
    await using world = await makeWorld();
    const { heard } = await block(world, 0.1);
    await world.clock.advance(4_900);
    expect(heard.calls).toEqual([]);
    await world.clock.advance(700);
    expect(heard.error?.code).toBe('EVENT_LOOP_BLOCKED');
  });

  it('forgives a starved sandbox that answers after all', async () => {
    await using world = await makeWorld();
    const { heard, channel, inner } = await block(world, 0.1);
    await world.clock.advance(3_000);
    channel.answersPings = true;
    channel.events.onPong(channel.pings.at(-1)!);
    await world.clock.advance(8_000);
    inner.done();
    expect(heard.calls).toEqual(['done']);
  });

  it('kills what cannot be measured after the same time', async () => {
    await using world = await makeWorld();
    const { heard } = await block(world, 1);
    world.driver.usage = () => Promise.reject(new Error('no cgroup'));
    await world.clock.advance(4_900);
    expect(heard.calls).toEqual([]);
    await world.clock.advance(700);
    expect(heard.error?.code).toBe('EVENT_LOOP_BLOCKED');
  });

  it('does not blame a sandbox for the time in which the host itself was stuck', async () => {
    await using world = await makeWorld();
    const { heard, channel, inner } = await block(world, 1);
    await world.clock.advance(300);
    expect(channel.pings.length).toBe(1);
    await world.clock.jump(10_000);
    channel.answersPings = true;
    channel.events.onPong(channel.pings.at(-1)!);
    await world.clock.advance(300);
    inner.done();
    expect(heard.calls).toEqual(['done']);
  });

  it('reads a pong that waits before it judges', async () => {
    await using world = await makeWorld();
    const { heard, channel, inner } = await block(world, 1);
    await world.clock.advance(1_240);
    setImmediate(() => channel.events.onPong(channel.pings.at(-1)!));
    channel.answersPings = true;
    await world.clock.advance(60);
    await world.clock.advance(1_000);
    inner.done();
    expect(heard.calls).toEqual(['done']);
  });

  it('lets a function wait for long with little CPU', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello', { blockedMs: 1_000, spinMs: 5_000 });
    const { heard, inner } = await invoke(world, runnable);
    burn(world, 0.02, 'sleeping');
    await world.clock.advance(60_000);
    inner.done();
    expect(heard.calls).toEqual(['done']);
    expect(world.driver.locateCalls).toBe(0);
  });

  it('kills a loop that turns, answers and does nothing else for spinMs', async () => {
    await using world = await makeWorld();
    const { heard } = await invoke(world, makeRunnable('hello', { blockedMs: 1_000, spinMs: 5_000 }));
    burn(world, 1);
    await world.clock.advance(5_000);
    expect(heard.calls).toEqual([]);
    await world.clock.advance(1_200);
    expect(heard.error).toMatchObject({
      code: 'EVENT_LOOP_BLOCKED',
      facts: { name: 'spinMs', limit: 5_000 },
    });
  });

  it('kills such a loop on a host that gives it a part of a core only, a while later', async () => {
    await using world = await makeWorld();
    const { heard } = await invoke(world, makeRunnable('hello', { blockedMs: 1_000, spinMs: 5_000 }));
    starve(world, 0.1);
    await world.clock.advance(9_000);
    expect(heard.calls).toEqual([]);
    await world.clock.advance(3_000);
    expect(heard.error?.facts).toMatchObject({ name: 'spinMs', limit: 5_000 });
  });

  it('lets a function that works a little and waits run on a busy host', async () => {
    await using world = await makeWorld();
    const { heard, inner } = await invoke(
      world,
      makeRunnable('hello', { blockedMs: 1_000, spinMs: 5_000, wallMs: 100_000 }),
    );
    starve(world, 0.1, 0.5);
    await world.clock.advance(60_000);
    inner.done();
    expect(heard.calls).toEqual(['done']);
  });

  it('lets a function wait for a child process or a worker that burns the whole of its core', async () => {
    await using world = await makeWorld();
    const limits = { blockedMs: 1_000, spinMs: 5_000, wallMs: 100_000 };
    const { heard, inner } = await invoke(world, makeRunnable('hello', limits));
    delegate(world, 1, 0.01);
    await world.clock.advance(60_000);
    inner.done();
    expect(heard.calls).toEqual(['done']);
  });

  it('kills a loop that hides among threads of its own, which take most of its core', async () => {
    await using world = await makeWorld();
    const { heard } = await invoke(world, makeRunnable('hello', { blockedMs: 1_000, spinMs: 5_000 }));
    burn(world, 1);
    const { usageOf } = world.driver;
    world.driver.usageOf = (id): SandboxUsage => {
      const usage = usageOf(id)!;
      const { cpuMicros } = usage;
      return { ...usage, mainThreadMicros: cpuMicros * 0.1, starvedMicros: cpuMicros * 0.85 };
    };
    await world.clock.advance(6_500);
    expect(heard.error?.facts).toMatchObject({ name: 'spinMs', limit: 5_000 });
  });

  it('goes by the whole sandbox where its main thread does not show', async () => {
    await using world = await makeWorld();
    const { heard } = await invoke(world, makeRunnable('hello', { blockedMs: 1_000, spinMs: 5_000 }));
    delegate(world, 0.7, 0.01);
    const { usageOf } = world.driver;
    world.driver.usageOf = (id): SandboxUsage => ({ ...usageOf(id)!, mainThreadMicros: null });
    await world.clock.advance(6_500);
    expect(heard.error?.facts).toMatchObject({ name: 'spinMs', limit: 5_000 });
  });

  it('lets a function burn its core as long as it sends something', async () => {
    await using world = await makeWorld();
    const { heard, channel, inner } = await invoke(
      world,
      makeRunnable('hello', { blockedMs: 1_000, spinMs: 5_000 }),
    );
    burn(world, 1);
    for (let count = 0; count < 10; count++) {
      await world.clock.advance(3_000);
      channel.progress += 1;
    }
    inner.done();
    expect(heard.calls).toEqual(['done']);
  });

  it('watches a cancelled invocation that does not end', async () => {
    await using world = await makeWorld();
    const { invocation, id } = await block(world, 1);
    invocation.cancel('client-gone');
    await world.clock.advance(1_300);
    expect(world.driver.destroyed).toContain(id);
  });

  it('costs nothing for idle sandboxes: no pings, no timers, no measuring', async () => {
    await using world = await makeWorld();
    const { channel, inner } = await invoke(world, makeRunnable('hello'));
    inner.done();
    await world.clock.advance(1_000);
    const { pings } = channel;
    const sent = pings.length;
    const timers = world.clock.waiting;
    await world.clock.advance(60_000);
    expect(pings.length).toBe(sent);
    // What is left is the reaper's one timer.
    expect(timers).toBe(1);
    expect(world.driver.usageCalls).toBe(0);
  });

  it('leaves code that fills its memory the time to end by it', async () => {
    await using world = await makeWorld();
    const { heard, channel, id } = await fill(world, (ms) => Math.min(250, 50 + ms / 10));
    await world.clock.advance(4_000);
    expect(heard.calls).toEqual([]);
    channel.events.onClosed(null);
    world.driver.exit(id, { signal: 'SIGABRT', outOfMemory: true });
    await world.clock.advance(0);
    expect(heard.error?.code).toBe('MEMORY_LIMIT');
  });

  it('says MEMORY_LIMIT itself, with the frames in the log, where that takes five times as long', async () => {
    await using world = await makeWorld();
    world.driver.frames = frames;
    const { heard, id } = await fill(world, (ms) => Math.min(200, 50 + ms / 10));
    await world.clock.advance(5_600);
    expect(heard.error).toMatchObject({ code: 'MEMORY_LIMIT', facts: { limit: 256 * 1024 * 1024 } });
    expect(world.driver.destroyed).toContain(id);
    const line = world.logs.find(({ source }) => source === 'error');
    expect(line?.text).toContain('\n    at hello.js:3:7 (spin)');
  });

  it.each([
    ['holds little', () => 60, 1_300],
    ['makes garbage', (ms: number) => 60 + (ms % 200) / 10, 1_300],
    ['holds much, and takes no more', () => 200, 5_600],
  ])('finds the loop of code that %s, with its place', async (_what, mib, ms) => {
    await using world = await makeWorld();
    world.driver.frames = frames;
    const { heard } = await fill(world, mib);
    await world.clock.advance(ms);
    expect(heard.error).toMatchObject({
      code: 'EVENT_LOOP_BLOCKED',
      facts: { place: ' at hello.js:3:7 (spin)' },
    });
  });

  it('an exit that comes while the place is looked for keeps the watchdog as the reason', async () => {
    await using world = await makeWorld();
    world.driver.locate = (): Promise<never[]> => new Promise(() => undefined);
    const { heard, id } = await block(world, 1);
    await world.clock.advance(1_300);
    world.driver.exit(id satisfies SandboxId, { signal: 'SIGUSR1' });
    await world.clock.advance(0);
    expect(heard.error?.code).toBe('EVENT_LOOP_BLOCKED');
  });
});
