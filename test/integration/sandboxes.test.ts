import { existsSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, openSandboxesWorld, revision, type SandboxesWorld } from './sandboxes-world.ts';

let world: SandboxesWorld;
beforeAll(async () => {
  world = await openSandboxesWorld();
});
afterAll(() => world.close());

const hello = revision('hello', 'module.exports = async (ctx) => "hello";');
const node = (key: string, body: string, limits = {}): ReturnType<typeof revision> =>
  revision(key, `module.exports = (req, res) => {\n${body}\n};`, limits);
const lines = (fn: string, source: 'error' | 'platform'): string[] =>
  world.logs.filter((record) => record.fn === fn && record.source === source).map(({ text }) => text);

describe('sandboxes with real processes', () => {
  it('answer, cold and warm', async () => {
    expect(await ask(world.sandboxes, hello)).toMatchObject({ error: null, status: 200, body: '"hello"' });
    for (let count = 0; count < 20; count++) expect((await ask(world.sandboxes, hello)).body).toBe('"hello"');
    expect(world.events.filter((event) => event.kind === 'cold-start').length).toBe(1);
  });

  it('say what killed a loop, and where it was', async () => {
    const spinning = node('spinning', 'spin();\nfunction spin() {\n  for (;;);\n}', { blockedMs: 400 });
    const { error } = await ask(world.sandboxes, spinning);
    expect(error).toMatchObject({ code: 'EVENT_LOOP_BLOCKED', facts: { name: 'blockedMs', limit: 400 } });
    expect(error?.facts.place).toMatch(/^ at \S+:4:\d+ \(spin\)$/);
    expect(lines('spinning', 'error')[0]).toMatch(/\n {4}at \S+:4:\d+ \(spin\)/);
  });

  it('kill what waits without turning its loop', async () => {
    const waiting = node('waiting', 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);', {
      blockedMs: 300,
    });
    expect((await ask(world.sandboxes, waiting)).error?.code).toBe('EVENT_LOOP_BLOCKED');
  });

  it('let a function wait for longer than blockedMs', async () => {
    const slow = node('slow', 'setTimeout(() => res.end("slow"), 900);', { blockedMs: 200 });
    expect(await ask(world.sandboxes, slow)).toMatchObject({ error: null, body: 'slow' });
  });

  it('kill a loop that turns without end, after spinMs', async () => {
    const turning = node('turning', '(function turn() { setImmediate(turn); })();', {
      blockedMs: 400,
      spinMs: 1_000,
    });
    const { error } = await ask(world.sandboxes, turning);
    expect(error).toMatchObject({ code: 'EVENT_LOOP_BLOCKED', facts: { name: 'spinMs' } });
  });

  it.each([
    ['process.exit(3);', 'exit code 3 by process.exit'],
    ['process.kill(process.pid, "SIGKILL");', 'killed by SIGKILL'],
    ['setTimeout(() => { throw new Error("boom"); }, 1);', 'uncaught exception: Error: boom'],
  ])('%s gives the reason, and the next request a fresh sandbox', async (body, reason) => {
    const key = `crash-${reason}`;
    const crashing = node(
      key,
      `if (req.url === '/crash') { ${body} } else res.end(String(process.uptime() > 0));`,
    );
    const { error } = await ask(world.sandboxes, crashing, '/crash');
    expect(error).toMatchObject({ code: 'FUNCTION_CRASHED', facts: { reason } });
    expect(lines(key, 'platform')).toEqual([]);
    expect((await ask(world.sandboxes, crashing)).body).toBe('true');
  });

  it('say that a revision does not load, and do not burn the pool with it', async () => {
    const broken = revision('broken', 'throw new Error("no way");');
    const { error } = await ask(world.sandboxes, broken);
    expect(error?.code).toBe('LOAD_FAILED');
    const claimed = world.events.filter(({ kind }) => kind === 'claimed').length;
    await expect(ask(world.sandboxes, broken)).rejects.toMatchObject({ code: 'LOAD_FAILED' });
    expect(world.events.filter(({ kind }) => kind === 'claimed').length).toBe(claimed);
  });

  it('give up on a revision that loops when it loads', async () => {
    const looping = revision('looping', '\nfor (;;);', { loadMs: 600 });
    const { error } = await ask(world.sandboxes, looping);
    expect(error?.code).toBe('LOAD_TIMEOUT');
    expect(lines('looping', 'error')[0]).toMatch(/\n {4}at \S+:2:1/);
  });

  it('leave nothing behind', async () => {
    const own = await openSandboxesWorld();
    await ask(own.sandboxes, hello);
    await own.sandboxes.drain(1_000);
    expect(readdirSync(own.runDir).filter((name) => name.startsWith('s'))).toEqual([]);
    await own.close();
    expect(existsSync(own.runDir)).toBe(false);
  });
});
