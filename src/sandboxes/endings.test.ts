import { describe, expect, it } from 'vitest';
import { BerthError } from '../contracts/errors.ts';
import { defaultLimits } from '../contracts/limits.ts';
import { settled } from '../kernel/testing/fake-clock.ts';
import {
  failureOf,
  invoke,
  listen,
  makeRunnable,
  makeWorld,
  request,
  type Started,
  type World,
} from './testing/world.ts';

const never = new AbortController().signal;
const hello = (): ReturnType<typeof makeRunnable> => makeRunnable('hello');
const platformLines = (world: World): string[] =>
  world.logs.filter(({ source }) => source === 'platform').map(({ text }) => text);

/** The channel closes, then the driver says how the process ended: the order in which a host sees a death. */
async function die(
  world: World,
  { channel, id }: Started,
  how: Parameters<World['driver']['exit']>[1],
): Promise<void> {
  channel.events.onClosed(null);
  await settled();
  world.driver.exit(id, how);
  await settled();
}

describe('a sandbox that ends by itself', () => {
  it.each([
    [{ code: 0 }, 'FUNCTION_CRASHED', 'exit code 0 by process.exit'],
    [{ code: 3 }, 'FUNCTION_CRASHED', 'exit code 3 by process.exit'],
    [{ signal: 'SIGKILL' }, 'FUNCTION_CRASHED', 'killed by SIGKILL'],
    [{ code: 134 }, 'FUNCTION_CRASHED', 'killed by SIGABRT'],
    [{ signal: 'SIGKILL', outOfMemory: true }, 'MEMORY_LIMIT', 'memoryBytes (268435456)'],
  ] as const)('%j fails its invocations with %s, and the next gets a fresh one', async (how, code, words) => {
    await using world = await makeWorld();
    const started = await invoke(world, hello());
    await die(world, started, how);
    expect(started.heard.error?.code).toBe(code);
    expect(started.heard.error?.message).toContain(words);
    // Its invocation was told, and tells its own log.
    expect(platformLines(world)).toEqual([]);
    const next = await invoke(world, hello());
    expect(next.channel).not.toBe(started.channel);
    expect(world.driver.destroyed).toContain(started.id);
  });

  it('waits for the exit before it fails what is open, and takes no new work meanwhile', async () => {
    await using world = await makeWorld();
    const runnable = hello();
    const { heard, channel } = await invoke(world, runnable);
    channel.events.onClosed(null);
    await world.clock.advance(999);
    expect(heard.calls).toEqual([]);
    expect(world.sandboxes.tryAcquire(runnable)).toBeNull();
    await world.clock.advance(1);
    expect(heard.error).toMatchObject({
      code: 'FUNCTION_CRASHED',
      facts: { reason: 'it closed its channel' },
    });
    expect(world.driver.live.size).toBe(2);
  });

  it('hears what was said before the process ended: the exit waits for the channel', async () => {
    await using world = await makeWorld();
    const { heard, channel, id, inner } = await invoke(world, hello());
    world.driver.exit(id, { code: 0 });
    await settled();
    inner.done();
    expect(heard.calls).toEqual(['done']);
    channel.events.onClosed(null);
    await settled();
    expect(world.sandboxes.stats().claimed).toBe(0);
  });

  it('an exit without a closed channel is believed after a second', async () => {
    await using world = await makeWorld();
    const { heard, id } = await invoke(world, hello());
    world.driver.exit(id, { signal: 'SIGSEGV' });
    await world.clock.advance(1_000);
    expect(heard.error?.message).toContain('killed by SIGSEGV');
  });

  it('names the uncaught exception, and puts its stack into the log', async () => {
    await using world = await makeWorld();
    const started = await invoke(world, hello());
    started.channel.events.onFatal('boom', 'Error: boom\n    at hello.js:1:1');
    await die(world, started, { code: 1 });
    expect(started.heard.error).toMatchObject({
      code: 'FUNCTION_CRASHED',
      facts: { reason: 'uncaught exception: boom' },
    });
    expect(world.logs.map(({ source, text }) => [source, text])).toEqual([
      ['error', 'Error: boom\n    at hello.js:1:1'],
    ]);
  });

  it('says itself why, once, where no invocation is left to be told', async () => {
    await using world = await makeWorld();
    const started = await invoke(world, hello());
    started.inner.done();
    await die(world, started, { code: 3 });
    expect(platformLines(world)).toEqual([
      expect.stringMatching(/^FUNCTION_CRASHED: .*exit code 3 by process\.exit/),
    ]);
  });

  it('does not outlive its last words', async () => {
    await using world = await makeWorld();
    const { channel, heard, id } = await invoke(world, hello());
    channel.events.onFatal('unhandled rejection: no', undefined);
    await world.clock.advance(1_000);
    expect(heard.error?.facts.reason).toBe('unhandled rejection: no');
    expect(world.driver.destroyed).toContain(id);
  });

  it('is killed at once for breaking the protocol', async () => {
    await using world = await makeWorld();
    const { channel, heard, id } = await invoke(world, hello());
    channel.events.onClosed(new BerthError('PROTOCOL_VIOLATION', { reason: 'garbage' }));
    await settled();
    expect(heard.error?.code).toBe('PROTOCOL_VIOLATION');
    expect(world.driver.destroyed).toContain(id);
    expect(world.events).toContainEqual({ kind: 'ended', tenant: 'acme', reason: 'PROTOCOL_VIOLATION' });
  });

  it('is killed as well when the platform fails on what it sent, and the operator’s log says why', async () => {
    await using world = await makeWorld();
    const { channel, heard, id } = await invoke(world, hello());
    channel.events.onFault(new TypeError('our own mistake'));
    channel.events.onClosed(new BerthError('INTERNAL'));
    await settled();
    expect(heard.error?.code).toBe('INTERNAL');
    expect(world.driver.destroyed).toContain(id);
    expect(world.platformLog).toContain('a channel failed by our fault');
    expect(world.platformLog).not.toContain('protocol violation');
  });

  it('puts what it wrote to standard error before it died into its log', async () => {
    await using world = await makeWorld();
    const started = await invoke(world, hello());
    await die(world, started, { signal: 'SIGABRT', stderrTail: 'native failure' });
    expect(world.logs.find(({ source }) => source === 'error')?.text).toBe('native failure');
  });

  it('fails leases that were given and not used yet', async () => {
    await using world = await makeWorld();
    const runnable = hello();
    const started = await invoke(world, runnable);
    const early = world.sandboxes.tryAcquire(runnable)!;
    const late = world.sandboxes.tryAcquire(runnable)!;
    started.channel.events.onClosed(null);
    const [heardEarly, heardLate] = [listen(), listen()];
    early.invoke(request, heardEarly);
    world.driver.exit(started.id, { code: 0 });
    await settled();
    late.invoke(request, heardLate);
    expect(heardLate.calls).toEqual([]);
    await settled();
    expect(heardEarly.calls).toEqual(['failed FUNCTION_CRASHED']);
    expect(heardLate.calls).toEqual(['failed FUNCTION_CRASHED']);
    expect(world.sandboxes.stats().inFlight).toBe(0);
  });

  it('a cancelled invocation hears only done when its sandbox dies', async () => {
    await using world = await makeWorld();
    const started = await invoke(world, hello());
    started.invocation.cancel('timeout');
    await die(world, started, { code: 0 });
    expect(started.heard.calls).toEqual(['done']);
  });

  it('others wait for it no longer than needed: who waits gets a fresh sandbox', async () => {
    await using world = await makeWorld();
    const runnable = makeRunnable('hello', { concurrencyPerSandbox: 1, sandboxesPerFunction: 1 });
    const started = await invoke(world, runnable);
    const waiting = world.sandboxes.acquire(runnable, never);
    await die(world, started, { code: 1 });
    (await waiting).release();
    expect(runnable.loads).toBe(2);
  });

  it('a blank one that dies is replaced and blamed on nobody', async () => {
    await using world = await makeWorld();
    const [first] = world.driver.created;
    world.driver.exit(first!.id, { signal: 'SIGKILL' });
    await settled();
    expect(world.sandboxes.stats().blank).toBe(2);
    expect(world.logs).toEqual([]);
  });
});

describe('a revision that does not load', () => {
  it('fails what was sent behind it with the reason, logs the stack, and is destroyed', async () => {
    await using world = await makeWorld();
    world.loadsByItself = false;
    const { heard, channel, id } = await invoke(world, hello());
    const reason = 'x is not defined';
    channel.events.onLoaded({ ok: false, code: 'LOAD_FAILED', reason, stack: 'at hello.js:1:1' });
    await settled();
    expect(heard.error).toMatchObject({ code: 'LOAD_FAILED', facts: { reason } });
    expect(world.driver.destroyed).toContain(id);
    expect(world.logs.map(({ source }) => source)).toEqual(['error']);
  });

  it('is not tried again within a second: callers get the same error at once', async () => {
    await using world = await makeWorld();
    world.loadsByItself = false;
    const runnable = hello();
    const { channel } = await invoke(world, runnable);
    channel.events.onLoaded({ ok: false, code: 'FORM_UNKNOWN', reason: 'it exports a number' });
    for (let count = 0; count < 5; count++)
      await expect(world.sandboxes.acquire(runnable, never)).rejects.toMatchObject({ code: 'FORM_UNKNOWN' });
    expect(runnable.loads).toBe(1);
    await invoke(world, makeRunnable('another'));
    await world.clock.advance(2_000);
    world.loadsByItself = true;
    await invoke(world, runnable);
    expect(runnable.loads).toBe(2);
  });

  it('fails who waits for a place as well', async () => {
    await using world = await makeWorld();
    world.loadsByItself = false;
    const runnable = makeRunnable('hello', { concurrencyPerSandbox: 1, sandboxesPerFunction: 1 });
    const { channel } = await invoke(world, runnable);
    const waiting = failureOf(world.sandboxes.acquire(runnable, never));
    channel.events.onLoaded({ ok: false, code: 'LOAD_FAILED', reason: 'no' });
    expect(await waiting).toMatchObject({ code: 'LOAD_FAILED' });
  });

  it('counts an exit at load as a failed load', async () => {
    await using world = await makeWorld();
    world.loadsByItself = false;
    const runnable = hello();
    const started = await invoke(world, runnable);
    await die(world, started, { code: 0 });
    expect(started.heard.error?.code).toBe('FUNCTION_CRASHED');
    await expect(world.sandboxes.acquire(runnable, never)).rejects.toMatchObject({
      code: 'FUNCTION_CRASHED',
    });
  });

  it('is given up after loadMs, and the log names the place where it spins', async () => {
    await using world = await makeWorld();
    world.loadsByItself = false;
    world.driver.frames = [{ functionName: '', file: 'hello.js', line: 2, column: 1 }];
    const { heard, id } = await invoke(world, makeRunnable('hello', { loadMs: 3_000 }));
    await world.clock.advance(2_999);
    expect(heard.calls).toEqual([]);
    await world.clock.advance(1);
    expect(heard.error).toMatchObject({ code: 'LOAD_TIMEOUT', facts: { limit: 3_000 } });
    expect(world.logs.find(({ source }) => source === 'error')?.text).toContain('at hello.js:2:1');
    expect(world.driver.destroyed).toContain(id);
  });

  it('may block for longer than blockedMs: only loadMs counts while it loads', async () => {
    await using world = await makeWorld();
    world.loadsByItself = false;
    const { channel, heard, inner } = await invoke(
      world,
      makeRunnable('hello', { blockedMs: 100, loadMs: 5_000 }),
    );
    await world.clock.advance(4_000);
    channel.events.onLoaded({ ok: true, form: 'context' });
    await world.clock.advance(5_000);
    inner.done();
    expect(heard.calls).toEqual(['done']);
  });

  it('fails with the reason when its code cannot be read, and does not reuse the sandbox', async () => {
    await using world = await makeWorld();
    const runnable = {
      ...hello(),
      load: () => Promise.reject(new BerthError('NOT_FOUND', { what: 'revision' })),
    };
    await expect(world.sandboxes.acquire(runnable, never)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(world.driver.destroyed.length).toBe(1);
  });

  it('tells how long the cold start took', async () => {
    await using world = await makeWorld();
    world.loadsByItself = false;
    const { channel } = await invoke(world, hello());
    await world.clock.advance(40);
    channel.events.onLoaded({ ok: true, form: 'context' });
    expect(world.events).toContainEqual({ kind: 'cold-start', tenant: 'acme', fn: 'hello', ms: 40 });
  });
});

describe('what a sandbox says', () => {
  it('goes to the log of its function, with the invocation', async () => {
    await using world = await makeWorld();
    const { channel } = await invoke(world, hello());
    channel.events.onLog('i1', 'warn', 'careful');
    channel.events.onLogDropped(7, 900);
    expect(world.logs).toMatchObject([
      { tenant: 'acme', fn: 'hello', invocation: 'i1', source: 'console', level: 'warn', text: 'careful' },
      { source: 'platform', text: '… 7 log lines (900 bytes) dropped: limit logBytesPerSecond' },
    ]);
  });

  it('of a blank sandbox reaches no tenant', async () => {
    await using world = await makeWorld();
    world.channels[0]!.events.onLog(null, 'info', 'hm');
    expect(world.logs).toEqual([]);
    expect(world.channels[0]!.options.logBytesPerSecond).toBe(defaultLimits.logBytesPerSecond);
  });
});
