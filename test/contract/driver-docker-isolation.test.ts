/** What a sandbox in a container sees and may do, for each runtime; and how honestly the facts say so. */
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestDockerDriver, type DockerVariant, reasonToSkipDocker } from './docker-engine.ts';
import { DriverWorld, eventually, type Probe, testLimits } from './driver-world.ts';

const MiB = 1024 * 1024;
const reasons = {
  runc: await reasonToSkipDocker('runc'),
  runsc: await reasonToSkipDocker('runsc'),
  closed: await reasonToSkipDocker('runsc-closed'),
};

function openWorld(
  runtime: DockerVariant['runtime'],
  channel: DockerVariant['channel'] = 'auto',
): DriverWorld {
  return new DriverWorld((place) => createTestDockerDriver(place, { runtime, channel }));
}

/** What this engine (Docker without userns-remap, gVisor on ptrace) can and cannot give; the same on cgroup v1 and v2. */
const expectedFacts = {
  runc: {
    hasOwnKernel: false,
    gaps: ['dies-with-platform', 'user-namespace'],
    fixedLimits: ['tmpBytes', 'tmpInodes'],
    canFreeze: true,
  },
  runsc: {
    hasOwnKernel: true,
    gaps: ['dies-with-platform', 'tmp-limit'],
    fixedLimits: ['tmpBytes', 'tmpInodes'],
    canFreeze: false,
  },
} as const;

for (const runtime of ['runc', 'runsc'] as const) {
  describe.skipIf(reasons[runtime] !== null)(`docker+${runtime}`, () => {
    let world: DriverWorld;
    let probe: Probe;
    beforeAll(async () => {
      world = openWorld(runtime);
      probe = await world.start();
    });
    afterAll(async () => {
      await world.close();
      expect(world.warnings).toEqual([]);
    });

    test('the facts say what this runtime gives and what it does not', async () => {
      const { runtimes, isUsable } = await world.driver.facts();
      const { name, hasOwnKernel, gaps, fixedLimits, canFreeze } = runtimes.standard!;
      expect(isUsable).toBe(true);
      const seen = { name, hasOwnKernel, gaps: [...gaps.keys()].sort(), fixedLimits, canFreeze };
      expect(seen).toEqual({ name: runtime, ...expectedFacts[runtime] });
    });

    test('no capabilities, and a user of its own', async () => {
      const other = await world.start();
      const uidOf = (one: Probe): Promise<number> => one.run<number>('return process.getuid()');
      const uids = [await uidOf(probe), await uidOf(other)];
      expect(new Set(uids).size).toBe(2);
      for (const uid of uids) expect(uid).toBeGreaterThanOrEqual(400_000);
      const status = await probe.run<string>(
        'return require("fs").readFileSync("/proc/self/status", "utf8")',
      );
      for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd'])
        expect(status).toMatch(new RegExp(`^${name}:\\s+0+$`, 'm'));
      await world.driver.destroy(other.id);
    });

    test('an environment that is documented, name by name', async () => {
      const { SSL_CERT_FILE: _, ...environment } =
        await probe.run<Record<string, string>>('return process.env');
      expect(environment).toEqual({
        HOME: '/tmp',
        LANG: 'C.UTF-8',
        MALLOC_TOP_PAD_: '65536',
        PATH: '/usr/bin',
        TMPDIR: '/tmp',
        TZ: 'UTC',
      });
    });

    test('nothing to run but Node, no shell, nothing of the host', async () => {
      expect(await probe.run('return require("fs").readdirSync("/usr/bin")')).toEqual(['node']);
      for (const path of ['/etc/shadow', '/root', '/home', '/bin/sh', '/var/run/docker.sock'])
        expect(await probe.failure(`require("fs").statSync(${JSON.stringify(path)})`)).toBe('ENOENT');
      expect(await probe.run('return require("fs").readFileSync("/etc/resolv.conf", "utf8")')).toMatch(
        /^(nameserver 127\.0\.0\.1\n|search \.\n)*$/,
      );
      // gVisor has a /dev/shm in its own memory, which is the sandbox's.
      if (runtime === 'runc')
        expect(await probe.failure('require("fs").statSync("/dev/shm")')).toBe('ENOENT');
      expect(await probe.run('return require("os").hostname()')).toBe('sandbox');
    });

    test('nothing that can be written but /tmp', async () => {
      const refused = ['/x', '/etc/x', '/usr/bin/node', '/berth/runtime.cjs', '/berth/channel/x', '/dev/x'];
      for (const path of refused) {
        const code = await probe.failure(`require("fs").writeFileSync(${JSON.stringify(path)}, "1")`);
        expect([path, code]).toEqual([path, expect.stringMatching(/^(EROFS|EACCES|EPERM)$/)]);
      }
      await probe.run('require("fs").writeFileSync("/tmp/own", "1")');
    });

    // gVisor's terminals are of the sandbox's own kernel.
    if (runtime === 'runc')
      test('no terminal to be had: all sandboxes of a host would share their number', async () => {
        const code = await probe.failure('require("fs").openSync("/dev/ptmx", "r+")');
        expect(code).toMatch(/^(ENOENT|EACCES|EIO|ENODEV|ENXIO)$/);
      });

    test('no network but a loopback of its own', async () => {
      const server = createServer().listen(0, '0.0.0.0');
      await new Promise((resolve) => server.once('listening', resolve));
      const { port } = server.address() as { port: number };
      const own = Object.values(networkInterfaces())
        .flat()
        .find((address) => address?.family === 'IPv4' && !address.internal);
      const connect = (host: string, to: number): Promise<string | null> =>
        probe.failure(
          `await new Promise((resolve, reject) => require("net").connect(${to}, "${host}").on("connect", resolve).on("error", reject))`,
        );
      expect(await connect('127.0.0.1', port)).toBe('ECONNREFUSED');
      if (own !== undefined)
        expect(await connect(own.address, port)).toMatch(/^(ENETUNREACH|EHOSTUNREACH|ENETDOWN)$/);
      expect(await connect('1.1.1.1', 53)).toMatch(/^(ENETUNREACH|EHOSTUNREACH|ENETDOWN)$/);
      server.close();
    });

    test('Node as usual: workers, WebAssembly, child processes, files, crypto, SQLite', async () => {
      const results = await probe.run<Record<string, unknown>>(`
        const { Worker } = require('worker_threads');
        const once = (emitter, event) => new Promise((resolve, reject) => emitter.once(event, resolve).once('error', reject));
        const worker = await once(new Worker('require("worker_threads").parentPort.postMessage(6 * 7)', { eval: true }), 'message');
        const wasm = await WebAssembly.instantiate(Buffer.from('0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b', 'hex'));
        const child = require('child_process').spawnSync('node', ['-p', '1 + 1'], { encoding: 'utf8' }).stdout.trim();
        const { DatabaseSync } = require('node:sqlite');
        const db = new DatabaseSync('/tmp/db');
        return { worker, wasm: wasm.instance.exports.add(2, 3), child, key: require('crypto').scryptSync('a', 'b', 16).length,
          sqlite: db.prepare('select 7 as seven').get().seven, zone: new Date(0).getTimezoneOffset() };`);
      expect(results).toEqual({ worker: 42, wasm: 5, child: '2', key: 16, sqlite: 7, zone: 0 });
    });

    test('/tmp is full when its bytes are used up, and only there', async () => {
      const victim = await world.start({ tmpBytes: MiB });
      const fill = 'require("fs").writeFileSync("/tmp/big", Buffer.alloc(3 * 1024 * 1024))';
      expect(await victim.failure(fill)).toBe('ENOSPC');
      expect(await probe.run('return 1')).toBe(1);
      await world.driver.destroy(victim.id);
    });

    test('memory: only that sandbox dies', async () => {
      const victim = await world.start({ memoryBytes: 96 * MiB }, 2_000);
      victim.send('const kept = []; for (;;) kept.push(Buffer.alloc(1 << 20, 1));', '/x.js');
      // Why a guest was killed is the engine's news, which now and then gets lost when it dies at once (1 of 50).
      const exit = runtime === 'runsc' ? { signal: 'SIGKILL' } : { signal: 'SIGKILL', outOfMemory: true };
      expect(await world.exitOf(victim.id, 30_000)).toMatchObject(exit);
      expect(await probe.run('return "alive"')).toBe('alive');
    });

    test('a fork bomb ends in itself', async () => {
      const victim = await world.start({ pids: 30 });
      victim.send(
        'const { spawn } = require("child_process"); const bomb = () => { try { spawn("node", ["-e", "setInterval(() => {}, 1000)"]).on("error", () => {}); } catch {} setTimeout(bomb, 5); }; bomb();',
        '/x.js',
      );
      // What a guest's processes are does not show on the host; it may end for lack of them.
      if (runtime === 'runc')
        await eventually('it has forked', async () => (await world.driver.usage(victim.id))!.pids >= 20);
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      expect(await probe.run('return "alive"')).toBe('alive');
      expect((await world.driver.usage(victim.id))?.pids ?? 0).toBeLessThanOrEqual(30);
      await world.driver.destroy(victim.id);
    });

    test('CPU: a loop gets no more than its share', async () => {
      const victim = await world.start({ cpuMillis: 200 });
      victim.send('for (;;) {}', '/x.js');
      await eventually(
        'it runs',
        async () => (await world.driver.usage(victim.id))?.mainThread === 'running',
      );
      const [before, started] = [(await world.driver.usage(victim.id))!.cpuMicros, performance.now()];
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      const spent = (await world.driver.usage(victim.id))!.cpuMicros - before;
      expect(spent / 1_000 / (performance.now() - started)).toBeLessThan(0.4);
      await world.driver.destroy(victim.id);
    });

    test('limits of a live sandbox change, but for /tmp, which is told', async () => {
      const victim = await world.start({ cpuMillis: 1_000 });
      await world.driver.update(victim.id, { ...testLimits, memoryBytes: 256 * MiB, cpuMillis: 100 });
      victim.send('for (;;) {}', '/x.js');
      const before = (await world.driver.usage(victim.id))!.cpuMicros;
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      expect((await world.driver.usage(victim.id))!.cpuMicros - before).toBeLessThan(400_000);
      const other = { ...testLimits, tmpBytes: 3 * MiB };
      await expect(world.driver.update(victim.id, other)).rejects.toThrow('/tmp');
      await world.driver.destroy(victim.id);
    });
  });
}

describe.skipIf(reasons.runc !== null)('docker, frames on standard streams', () => {
  test('what writes to descriptor 1 does not break the channel, and megabytes get through', async () => {
    const world = openWorld('runc', 'stdio');
    const probe = await world.start();
    expect(await probe.run('require("fs").writeSync(1, "not a frame"); return "spoken"')).toBe('spoken');
    const size = await probe.run<number>('return "x".repeat(8 * 1024 * 1024).length');
    expect(size).toBe(8 * MiB);
    expect((await probe.run<string>('return "x".repeat(4 * 1024 * 1024)')).length).toBe(4 * MiB);
    await world.close();
  });
});

describe.skipIf(reasons.closed !== null)('docker, a runtime that lets no sandbox connect to a socket', () => {
  test('is refused to who asks for the socket, with the way out', async () => {
    const world = openWorld('runsc-closed', 'socket');
    const { isUsable, reason } = await world.driver.facts();
    expect(isUsable).toBe(false);
    expect(reason).toMatch(/docker\.channel is socket.*--host-uds=open.*auto or stdio/);
    await world.close();
  });

  test('serves who leaves the choice to the platform', async () => {
    const world = openWorld('runsc-closed');
    const probe = await world.start();
    expect(await probe.run('return process.argv[2]')).toBe('-');
    await world.close();
  });
});
