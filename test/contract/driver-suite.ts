/** What every driver must do, whatever it isolates with. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { BerthError } from '../../src/contracts/errors.ts';
import { volumeIdSchema } from '../../src/contracts/ids.ts';
import { parseCgroupPlaces } from '../../src/drivers/cgroups/cgroup-mounts.ts';
import type { Driver, DriverName, SandboxKind } from '../../src/drivers/driver.ts';
import { identityOf, isAlive, type ProcessIdentity } from '../../src/drivers/process-identity.ts';
import { NO_PRETENURING } from '../../src/kernel/node-flags.ts';
import { type DriverPlace, DriverWorld, eventually, newSandboxId, testLimits } from './driver-world.ts';

export interface DriverUnderTest {
  readonly name: DriverName;
  readonly make: (place: DriverPlace) => Driver;
  /** Of all sandboxes of the suite; left out: of the platform's own Node, standard isolation. */
  readonly kind?: SandboxKind;
  /** Tells this run of the suite from others of the same driver. */
  readonly title?: string;
  /** Arguments of the platform that is killed, besides those of every driver. */
  readonly platformArguments?: readonly string[];
  /** Path of the channel's socket as the runtime sees it. */
  readonly socketPath: (dir: string) => string;
  /** Sandboxes end when their platform is killed, without anybody's help. */
  readonly diesWithPlatform: boolean;
  /** Where the host has a freezer. */
  readonly freezes: boolean;
}

const platformScript = join(import.meta.dirname, '../fixtures/drivers/platform.ts');
const readySchema = z.object({ id: z.string(), pids: z.array(z.number()) });
const SPIN = 'function innermost() {\n  for (;;) {}\n}\nfunction outer() {\n  innermost();\n}\nouter();\n';

export function describeDriver(driver: DriverUnderTest): void {
  let world: DriverWorld;
  beforeAll(() => {
    world = new DriverWorld(driver.make, driver.kind);
  });
  afterAll(async () => {
    await world.close();
  });

  /** Also for the fact itself: a driver that does not freeze must not say so. */
  const canFreeze = async (): Promise<boolean> => {
    const says = (await world.driver.facts()).runtimes[world.kind.isolation]?.canFreeze === true;
    if (!driver.freezes) expect(says).toBe(false);
    return says;
  };

  describe(`the driver ${driver.title ?? driver.name}`, () => {
    afterEach(() => {
      expect(world.warnings.splice(0)).toEqual([]);
    });

    test('says who it is and that it can be used', async () => {
      const facts = await world.driver.facts();
      expect(facts).toMatchObject({ driver: driver.name, isUsable: true, reason: null });
      expect(await world.driver.facts()).toEqual(facts);
    });

    test('starts the runtime with the path of its socket and the heap limit', async () => {
      const probe = await world.start({}, 80);
      const [argument, flags] = await probe.run<[string, string[]]>(
        'return [process.argv[2], process.execArgv]',
      );
      expect(argument).toBe(driver.socketPath(probe.dir));
      expect(flags).toContain('--max-old-space-size=80');
      // From the start on it would have Node's own modules compiled anew (ADR 11).
      expect(flags).not.toContain(NO_PRETENURING);
      await world.driver.destroy(probe.id);
    });

    test('gives the sandbox an environment without anything of the platform’s', async () => {
      process.env['BERTH_TEST_SECRET'] = 'visible';
      const probe = await world.start();
      const names = await probe.run<string[]>('return Object.keys(process.env).sort()');
      expect(
        names.filter((name) => !/^(HOME|LANG|MALLOC_TOP_PAD_|PATH|PWD|SSL_CERT_FILE|TMPDIR|TZ)$/.test(name)),
      ).toEqual([]);
      await world.driver.destroy(probe.id);
    });

    test('tells usage, and whether the main thread runs or sleeps', async () => {
      const probe = await world.start();
      const idle = await eventually('it sleeps', async () => {
        const usage = await world.driver.usage(probe.id);
        return usage?.mainThread === 'sleeping' ? usage : null;
      });
      expect(idle.memoryBytes).toBeGreaterThan(1024 * 1024);
      expect(idle.pids).toBeGreaterThan(0);
      probe.send(SPIN, '/tenant/spin.js');
      await eventually('it burns CPU', async () => {
        const usage = await world.driver.usage(probe.id);
        return usage?.mainThread === 'running' && usage.cpuMicros > idle.cpuMicros + 50_000;
      });
      await world.driver.destroy(probe.id);
      expect(await world.driver.usage(probe.id)).toBeNull();
      expect(await world.driver.usage(newSandboxId())).toBeNull();
    });

    test('counts what the main thread takes apart from a worker, where it shows', async () => {
      const probe = await world.start();
      const before = (await world.driver.usage(probe.id))!;
      await probe.run(
        'const { Worker } = require("node:worker_threads"); new Worker("for (;;);", { eval: true }).unref(); return 1;',
      );
      const after = await eventually('the worker burns CPU', async () => {
        const usage = await world.driver.usage(probe.id);
        return usage !== null && usage.cpuMicros > before.cpuMicros + 1_000_000 ? usage : null;
      });
      // Under a kernel of its own, or with an engine elsewhere, it does not show.
      if (before.mainThreadMicros === null) expect(after.mainThreadMicros).toBeNull();
      else expect(after.mainThreadMicros! - before.mainThreadMicros).toBeLessThan(500_000);
      await world.driver.destroy(probe.id);
    });

    test('finds the line on which an endless loop spins', async () => {
      const probe = await world.start();
      const cpuMicros = async (): Promise<number> => (await world.driver.usage(probe.id))!.cpuMicros;
      const before = await cpuMicros();
      probe.send(SPIN, '/tenant/spin.js');
      // More than it takes to read the code: by now it is in its loop.
      await eventually('it spins', async () => (await cpuMicros()) > before + 200_000);
      const [frame, caller] = await world.driver.locate(probe.id);
      expect(frame).toMatchObject({ functionName: 'innermost', file: '/tenant/spin.js', line: 2 });
      expect(caller).toMatchObject({ functionName: 'outer', file: '/tenant/spin.js', line: 5 });
      await world.driver.destroy(probe.id);
      expect(await world.driver.locate(probe.id)).toEqual([]);
      expect(await world.driver.locate(newSandboxId())).toEqual([]);
    });

    test('tells an exit once, with its code', async () => {
      const probe = await world.start();
      probe.send('process.exit(7)', '/x.js');
      expect(await world.exitOf(probe.id)).toMatchObject({ code: 7, signal: null, outOfMemory: false });
      await world.driver.destroy(probe.id);
      expect(world.exits.filter(({ id }) => id === probe.id)).toHaveLength(1);
    });

    test('tells a death by signal', async () => {
      const probe = await world.start();
      probe.send('process.kill(process.pid, "SIGKILL")', '/x.js');
      expect(await world.exitOf(probe.id)).toMatchObject({
        code: null,
        signal: 'SIGKILL',
        outOfMemory: false,
      });
    });

    test('tells when V8 gave up for lack of heap', async () => {
      const probe = await world.start({}, 24);
      probe.send('const kept = []; for (;;) kept.push({ a: [Math.random()] });', '/x.js');
      expect(await world.exitOf(probe.id, 30_000)).toMatchObject({ outOfMemory: true });
    });

    test('keeps the last 4 KiB of descriptor 2 and reads a flood slowly', async () => {
      const probe = await world.start();
      // Its exit code says how many MiB were taken from it in 700 ms.
      probe.send(
        'const fs = require("fs"); const flood = Buffer.alloc(65536, "x"); const end = Date.now() + 700; let bytes = 0;' +
          'while (Date.now() < end) try { bytes += fs.writeSync(2, flood); } catch (error) { if (error.code !== "EAGAIN") throw error; }' +
          'process.exit(Math.min(255, bytes >> 20))',
        '/x.js',
      );
      const exit = await world.exitOf(probe.id);
      expect(exit.stderrTail).toMatch(/^x+$/);
      expect(exit.stderrTail.length).toBeLessThanOrEqual(4096);
      expect(exit.code).toBeLessThan(8);
    });

    test('destroys with all children, any number of times, and tells it once', async () => {
      const probe = await world.start();
      await probe.run(
        'const child = require("child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);' +
          'await new Promise((resolve) => child.once("spawn", resolve));',
      );
      const record = world.recordOf(probe.id);
      const outermost = identityOf(record!.process.pid)!;
      await Promise.all([world.driver.destroy(probe.id), world.driver.destroy(probe.id)]);
      await world.driver.destroy(probe.id);
      await world.driver.destroy(newSandboxId());
      expect(isAlive(outermost)).toBe(false);
      expect(world.exits.filter(({ id }) => id === probe.id)).toHaveLength(1);
      expect(world.recordOf(probe.id)).toBeNull();
    });

    test('changes the limits of a live sandbox, and nothing for one that is unknown', async () => {
      const probe = await world.start();
      await world.driver.update(probe.id, { ...testLimits, pids: 50 });
      await world.driver.update(newSandboxId(), testLimits);
      expect(await probe.run('return 1 + 1')).toBe(2);
      await world.driver.destroy(probe.id);
    });

    if (driver.freezes) {
      test('freezes, where it says that it can: no CPU until it is thawed, and the last word holds', async (context) => {
        if (!(await canFreeze())) return context.skip('this host has no freezer');
        const probe = await world.start();
        const cpuMicros = async (): Promise<number> => (await world.driver.usage(probe.id))!.cpuMicros;
        await probe.run(
          'globalThis.mined = 0; setInterval(() => { for (let n = 0; n < 1e6; n++) mined++; }, 1)',
        );
        const before = await cpuMicros();
        await eventually('it burns CPU', async () => (await cpuMicros()) > before + 50_000);
        await world.driver.freeze(probe.id);
        await eventually('it has come to a stop', () => burnsLittle(cpuMicros));
        // Limits of one that stands still are changed as those of any other.
        await world.driver.update(probe.id, {
          ...testLimits,
          pids: 50,
          memoryBytes: testLimits.memoryBytes * 2,
        });
        await world.driver.thaw(probe.id);
        const thawed = await cpuMicros();
        await eventually('it goes on', async () => (await cpuMicros()) > thawed + 50_000);
        await Promise.all([world.driver.freeze(probe.id), world.driver.thaw(probe.id)]);
        expect(await probe.run('return mined > 0')).toBe(true);
        await world.driver.destroy(probe.id);
      });

      test('destroys what is frozen', async (context) => {
        if (!(await canFreeze())) return context.skip('this host has no freezer');
        const probe = await world.start();
        const outermost = identityOf(world.recordOf(probe.id)!.process.pid)!;
        await world.driver.freeze(probe.id);
        await world.driver.destroy(probe.id);
        expect(isAlive(outermost)).toBe(false);
        expect(world.recordOf(probe.id)).toBeNull();
      });
    }

    test('freezing and thawing what is not there does nothing', async () => {
      await canFreeze();
      await world.driver.freeze(newSandboxId());
      await world.driver.thaw(newSandboxId());
    });

    test('gives up a start that is aborted; nothing is left', async () => {
      for (const delayMs of [0, 5, 15, 30]) {
        const probe = await world.prepare();
        const spec = world.specOf(probe);
        const started = world.driver.create(spec, AbortSignal.timeout(delayMs)).then(
          () => null,
          (error: unknown) => error,
        );
        const error = await started;
        if (error !== null) expect((error as BerthError).code).toBe('SANDBOX_START_FAILED');
        else await world.driver.destroy(probe.id);
        expect(await world.driver.usage(probe.id)).toBeNull();
        expect(world.recordOf(probe.id)).toBeNull();
      }
    });

    test('does not make two sandboxes of one id', async () => {
      const probe = await world.start();
      const again = world.driver.create(world.specOf(probe), AbortSignal.timeout(5_000));
      await expect(again).rejects.toThrow(BerthError);
      expect(await probe.run('return "still here"')).toBe('still here');
      await world.driver.destroy(probe.id);
    });

    test('starts no service that it cannot start, says why, and knows of no volume', async () => {
      const { id, dir } = await world.prepare();
      const volume = volumeIdSchema.parse(`v${'0'.repeat(20)}`);
      const spec = { id, channelDir: dir, kind: 'unheard-of', volume, memoryBytes: 2 ** 27 } as const;
      const started = world.driver.startService(
        { ...spec, isolation: 'standard' },
        AbortSignal.timeout(10_000),
      );
      const code = driver.name === 'docker' ? 'SERVICE_START_FAILED' : 'SERVICES_UNAVAILABLE';
      await expect(started).rejects.toMatchObject({ code });
      await world.driver.removeVolume(volume);
      expect(await world.driver.usage(id)).toBeNull();
      expect(await world.driver.volumeSizes()).toEqual([]);
      // The operator is told, too.
      world.warnings.splice(0);
    });

    for (const state of driver.freezes ? (['at work', 'frozen'] as const) : (['at work'] as const))
      test(`removes what a killed platform left over, ${state}, and leaves a living platform’s sandboxes alone`, async (context) => {
        if (state === 'frozen' && !(await canFreeze())) return context.skip('this host has no freezer');
        await removesLeftovers(state);
      });

    async function removesLeftovers(state: 'at work' | 'frozen'): Promise<void> {
      const survivor = await world.start();
      const platform = spawn(
        process.execPath,
        [
          platformScript,
          driver.name,
          world.runDir,
          world.place().rootDir,
          ...(driver.platformArguments ?? []),
        ],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      );
      const ready = readySchema.parse(JSON.parse(await firstLine(platform.stdout)));
      const left = ready.pids.map(identityOf).filter((identity) => identity !== null);
      if (state === 'frozen') groupsOf(world.recordOf(ready.id)!).forEach(freezeGroup);
      expect(left.length).toBeGreaterThanOrEqual(driver.diesWithPlatform ? 4 : 1);
      platform.kill('SIGKILL');
      if (driver.diesWithPlatform && state === 'at work') await allGone(left, 2_000);
      await eventually('the platform is gone', () => platform.signalCode !== null);
      expect(await world.driver.recover()).toEqual([ready.id]);
      await allGone(left, 2_000);
      expect(existsSync(join(world.runDir, ready.id))).toBe(false);
      expect(world.recordOf(ready.id)).toBeNull();
      expect(await world.driver.recover()).toEqual([]);
      expect(await survivor.run('return 42')).toBe(42);
      await world.driver.destroy(survivor.id);
    }

    test('leaves nothing behind when it is closed', async () => {
      const other = new DriverWorld(driver.make, driver.kind);
      const probes = await Promise.all([other.start(), other.start()]);
      await other.driver.close();
      expect(other.exits.map(({ id }) => id).sort()).toEqual(probes.map(({ id }) => id).sort());
      expect(readdirSync(other.runDir)).toEqual(['channels']);
      await other.close();
    });
  });
}

/** As the kernel documents it for either version. */
function freezeGroup(group: string): void {
  for (const [file, value] of [
    ['freezer.state', 'FROZEN'],
    ['cgroup.freeze', '1'],
  ] as const)
    if (existsSync(join(group, file))) writeFileSync(join(group, file), value);
}

/** Less than a hundredth of a core for a while: what is on its way to the freezer may still use some. */
async function burnsLittle(cpuMicros: () => Promise<number>): Promise<boolean> {
  const before = await cpuMicros();
  await new Promise((resolve) => setTimeout(resolve, 200));
  return (await cpuMicros()) - before < 2_000;
}

/** An engine's groups stand in no record of ours. */
function groupsOf({
  process: { pid },
  cgroups,
}: NonNullable<ReturnType<DriverWorld['recordOf']>>): readonly string[] {
  if (cgroups.length > 0) return cgroups;
  const mountinfo = readFileSync('/proc/self/mountinfo', 'utf8');
  const { v1, v2 } = parseCgroupPlaces(mountinfo, readFileSync(`/proc/${pid}/cgroup`, 'utf8'));
  return [v1.get('freezer') ?? v2!.own];
}

async function firstLine(stream: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const chunk of stream) {
    text += String(chunk);
    if (text.includes('\n')) return text.slice(0, text.indexOf('\n'));
  }
  throw new Error('the platform said nothing');
}

async function allGone(processes: readonly ProcessIdentity[], ms: number): Promise<void> {
  await eventually('the processes of the sandbox are gone', () => !processes.some(isAlive), ms);
}
