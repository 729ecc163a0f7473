import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { identityOf, isAlive } from '../../src/drivers/process-identity.ts';
import { createJailDriver } from '../../src/drivers/jail/jail-driver.ts';
import { reasonToSkipJail } from './driver-jail-world.ts';
import { describeBackground } from './background-suite.ts';
import { describeDriver } from './driver-suite.ts';
import { DriverWorld, eventually, type Probe, testLimits } from './driver-world.ts';

const skipped = await reasonToSkipJail();
const MiB = 1024 * 1024;

describe.skipIf(skipped !== null)('jail', () => {
  describeDriver({
    name: 'jail',
    make: createJailDriver,
    socketPath: () => '/berth/channel/channel.sock',
    diesWithPlatform: true,
    freezes: true,
  });
  describeBackground('jail', createJailDriver);

  describe('what a jailed sandbox sees', () => {
    let world: DriverWorld;
    let probe: Probe;
    beforeAll(async () => {
      world = new DriverWorld(createJailDriver);
      probe = await world.start();
    });
    afterAll(async () => {
      await world.close();
      expect(world.warnings).toEqual([]);
    });

    test('no capabilities, no new privileges, a seccomp filter, uid 1000', async () => {
      const status = await probe.run<string>(
        'return require("fs").readFileSync("/proc/self/status", "utf8")',
      );
      for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
        expect(status).toMatch(new RegExp(`^${name}:\\s+0+$`, 'm'));
      }
      expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
      expect(status).toMatch(/^Seccomp:\s+2$/m);
      expect(status).toMatch(/^Uid:\s+1000\s+1000\s+1000\s+1000$/m);
      expect(status).toMatch(/^Groups:\s*$/m);
    });

    test('an environment that is documented, name by name', async () => {
      const { SSL_CERT_FILE: _, ...environment } =
        await probe.run<Record<string, string>>('return process.env');
      expect(environment).toEqual({
        HOME: '/tmp',
        LANG: 'C.UTF-8',
        MALLOC_TOP_PAD_: '65536',
        PATH: '/usr/bin',
        PWD: '/tmp',
        TMPDIR: '/tmp',
        TZ: 'UTC',
      });
    });

    test('only its own processes, and no trace of the host in /proc', async () => {
      const seen = await probe.run<Record<string, string>>(`
        const fs = require('fs');
        const read = (path) => fs.readFileSync(path, 'utf8');
        return {
          pids: fs.readdirSync('/proc').filter((name) => Number(name) > 0).join(),
          mountinfo: read('/proc/self/mountinfo'), cgroup: read('/proc/self/cgroup'),
          environ: read('/proc/1/environ') + read('/proc/self/environ'),
          cmdline: read('/proc/1/cmdline') + read('/proc/self/cmdline'),
          maps: read('/proc/self/maps'), kernel: read('/proc/cmdline'),
        }`);
      expect(seen['pids']).toBe('1,2');
      for (const line of seen['cgroup']!.trim().split('\n')) expect(line).toMatch(/:\/$/);
      const text = Object.values(seen).join('\n');
      for (const word of [
        process.cwd(),
        process.env['HOME'] ?? '/root',
        'node_modules',
        world.place().rootDir,
      ]) {
        expect(text).not.toContain(word);
      }
      expect(seen['environ']).not.toContain('berth');
      expect(seen['kernel']).toBe('');
    });

    test('a root with Node and its libraries and nothing to run besides', async () => {
      const roots = await probe.run<string[]>('return require("fs").readdirSync("/")');
      const allowed = ['berth', 'dev', 'etc', 'lib', 'lib64', 'proc', 'tmp', 'usr'];
      expect(roots.filter((name) => !allowed.includes(name))).toEqual([]);
      expect(await probe.run('return require("fs").readdirSync("/usr/bin")')).toEqual(['node']);
      expect(await probe.run('return require("fs").readdirSync("/dev").sort()')).toEqual([
        'fd',
        'full',
        'null',
        'random',
        'stderr',
        'stdin',
        'stdout',
        'urandom',
        'zero',
      ]);
      for (const path of [
        '/etc/shadow',
        '/root',
        '/home',
        '/sys',
        '/run',
        '/bin/sh',
        '/dev/shm',
        '/dev/tty',
      ]) {
        expect(await probe.failure(`require("fs").statSync(${JSON.stringify(path)})`)).toBe('ENOENT');
      }
    });

    test('nothing that can be written but /tmp', async () => {
      const refused = [
        '/x',
        '/etc/x',
        '/usr/bin/node',
        '/berth/x',
        '/berth/runtime.cjs',
        '/berth/channel/x',
        '/dev/x',
        '/lib/x',
        '/proc/sys/kernel/hostname',
        '/proc/sys/net/ipv4/ip_forward',
        '/proc/sys/user/max_user_namespaces',
        '/proc/cmdline',
      ];
      for (const path of refused) {
        const code = await probe.failure(`require("fs").writeFileSync(${JSON.stringify(path)}, "1")`);
        expect([path, code]).toEqual([path, expect.stringMatching(/^(EROFS|EACCES)$/)]);
      }
      expect(await probe.failure('require("fs").unlinkSync("/berth/channel/channel.sock")')).toBe('EROFS');
      await probe.run('require("fs").writeFileSync("/tmp/own", "1")');
    });

    test('descriptors 0, 1 and 2, the channel, and what Node itself opens', async () => {
      const open = await probe.run<string[]>(`
        const fs = require('fs');
        return fs.readdirSync('/proc/self/fd').sort((a, b) => a - b).map((fd) => { try { return fs.readlinkSync('/proc/self/fd/' + fd); } catch { return 'gone'; } })`);
      const [stdin, stdout, stderr, ...rest] = open;
      expect([stdin, stdout]).toEqual(['/dev/null', '/dev/null']);
      expect(stderr).toMatch(/^(socket|pipe):/);
      expect(
        rest.filter(
          (target) => !/^(anon_inode:|pipe:|socket:|gone$|\/dev\/null$|\/proc\/\d+\/fd$)/.test(target),
        ),
      ).toEqual([]);
      expect(rest.filter((target) => target.startsWith('socket:'))).toHaveLength(1);
    });

    test('no network but a loopback of its own', async () => {
      const server = createServer().listen(0, '0.0.0.0');
      await new Promise((resolve) => server.once('listening', resolve));
      const { port } = server.address() as { port: number };
      const own = Object.values(networkInterfaces())
        .flat()
        .filter((address) => address?.family === 'IPv4');
      const connect = (host: string, to: number): Promise<string | null> =>
        probe.failure(
          `await new Promise((resolve, reject) => require("net").connect(${to}, "${host}").on("connect", resolve).on("error", reject))`,
        );
      expect(await connect('127.0.0.1', port)).toBe('ECONNREFUSED');
      for (const address of own.filter((candidate) => !candidate!.internal)) {
        expect(await connect(address!.address, port)).toBe('ENETUNREACH');
      }
      expect(await connect('1.1.1.1', 53)).toBe('ENETUNREACH');
      server.close();
      const echoed = await probe.run(`
        return await new Promise((resolve, reject) => {
          const server = require('net').createServer((socket) => socket.end('own')).listen(0, 'localhost', () =>
            require('net').connect(server.address().port, 'localhost').on('data', (data) => resolve(String(data))).on('error', reject));
        })`);
      expect(echoed).toBe('own');
    });

    test('Node as usual: workers, WebAssembly, child processes, file watching, crypto, SQLite', async () => {
      const results = await probe.run<Record<string, unknown>>(`
        const { Worker } = require('worker_threads');
        const fs = require('fs');
        const once = (emitter, event) => new Promise((resolve, reject) => emitter.once(event, resolve).once('error', reject));
        const worker = await once(new Worker('require("worker_threads").parentPort.postMessage(6 * 7)', { eval: true }), 'message');
        const wasm = await WebAssembly.instantiate(Buffer.from('0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b', 'hex'));
        const child = require('child_process').spawnSync('node', ['-p', '1 + 1'], { encoding: 'utf8' }).stdout.trim();
        const watcher = fs.watch('/tmp');
        const change = once(watcher, 'change');
        fs.writeFileSync('/tmp/watched', '1');
        await change; watcher.close();
        const crypto = require('crypto');
        const { DatabaseSync } = require('node:sqlite');
        const db = new DatabaseSync('/tmp/db');
        return {
          worker, wasm: wasm.instance.exports.add(2, 3), child,
          uuid: crypto.randomUUID().length, key: crypto.scryptSync('a', 'b', 16).length,
          sqlite: db.prepare('select 7 as seven').get().seven,
          user: require('os').userInfo().username, host: require('os').hostname(), zone: new Date(0).getTimezoneOffset(),
        }`);
      expect(results).toEqual({
        worker: 42,
        wasm: 5,
        child: '2',
        uuid: 36,
        key: 16,
        sqlite: 7,
        user: 'sandbox',
        host: 'sandbox',
        zone: 0,
      });
    });
  });

  describe('limits of a jailed sandbox', () => {
    let world: DriverWorld;
    beforeAll(() => {
      world = new DriverWorld(createJailDriver);
    });
    afterAll(async () => {
      await world.close();
    });

    test('memory: only that sandbox dies, and it says why', async () => {
      const [victim, probe] = await Promise.all([
        world.start(),
        world.start({ memoryBytes: 96 * MiB }, 2_000),
      ]);
      probe.send('const kept = []; for (;;) kept.push(Buffer.alloc(1 << 20, 1));', '/x.js');
      expect(await world.exitOf(probe.id, 20_000)).toMatchObject({ outOfMemory: true, signal: 'SIGKILL' });
      expect(await victim.run('return "alive"')).toBe('alive');
      await world.driver.destroy(victim.id);
    });

    test('pids: EAGAIN inside', async () => {
      const probe = await world.start({ pids: 24 });
      const code = await probe.run<string>(`
        const { spawn } = require('child_process');
        for (let count = 0; count < 100; count += 1) {
          const child = spawn('node', ['-e', 'setInterval(() => {}, 1000)']);
          const error = await new Promise((resolve) => child.once('spawn', () => resolve(null)).once('error', resolve));
          if (error) return error.code;
        }
        return 'none'`);
      expect(code).toBe('EAGAIN');
      const usage = await world.driver.usage(probe.id);
      expect(usage!.pids).toBeLessThanOrEqual(24);
      await world.driver.destroy(probe.id);
    });

    test('/tmp: ENOSPC for bytes and for files, and more of both after an update', async () => {
      const probe = await world.start({ tmpBytes: MiB, tmpInodes: 32 });
      const fillBytes = 'require("fs").writeFileSync("/tmp/big", Buffer.alloc(3 * 1024 * 1024))';
      const fillFiles = 'for (let n = 0; n < 60; n += 1) require("fs").writeFileSync("/tmp/f" + n, "")';
      expect(await probe.failure(fillBytes)).toBe('ENOSPC');
      await probe.run('require("fs").rmSync("/tmp/big")');
      expect(await probe.failure(fillFiles)).toBe('ENOSPC');
      await world.driver.update(probe.id, { ...testLimits, tmpBytes: 8 * MiB, tmpInodes: 128 });
      await probe.run(fillFiles);
      await probe.run(fillBytes);
      await world.driver.destroy(probe.id);
    });

    test('a limit below what is in use is refused, the others are in force', async () => {
      const probe = await world.start({ tmpBytes: 4 * MiB });
      await probe.run('require("fs").writeFileSync("/tmp/big", Buffer.alloc(3 * 1024 * 1024))');
      const change = { ...testLimits, memoryBytes: 160 * MiB, cpuMillis: 250, pids: 30, tmpBytes: MiB };
      await expect(world.driver.update(probe.id, change)).rejects.toThrow('/tmp');
      expect(cgroupValues(world.runDir, probe.id)).toEqual({
        memory: 160 * MiB,
        cpuMillis: 250,
        pids: 32,
      });
      const update = world.driver.update(probe.id, change);
      await world.driver.destroy(probe.id);
      await update;
    });

    test('CPU, memory and pids change on a live sandbox, as its control groups show', async () => {
      const probe = await world.start();
      await world.driver.update(probe.id, {
        ...testLimits,
        memoryBytes: 128 * MiB,
        cpuMillis: 250,
        pids: 77,
      });
      const shown = cgroupValues(world.runDir, probe.id);
      expect(shown).toEqual({ memory: 128 * MiB, cpuMillis: 250, pids: 79 });
      await world.driver.update(probe.id, {
        ...testLimits,
        memoryBytes: 256 * MiB,
        cpuMillis: 1_500,
        pids: 30,
      });
      expect(cgroupValues(world.runDir, probe.id)).toEqual({ memory: 256 * MiB, cpuMillis: 1_500, pids: 32 });
      await world.driver.destroy(probe.id);
    });

    test('CPU: a loop gets no more than its share', async () => {
      const probe = await world.start({ cpuMillis: 200 });
      probe.send('for (;;) {}', '/x.js');
      await eventually('it runs', async () => (await world.driver.usage(probe.id))!.mainThread === 'running');
      const [started, before] = [performance.now(), (await world.driver.usage(probe.id))!.cpuMicros];
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      const share =
        ((await world.driver.usage(probe.id))!.cpuMicros - before) / 1_000 / (performance.now() - started);
      expect(share).toBeLessThan(0.35);
      await world.driver.destroy(probe.id);
    });

    test('each live sandbox has a host uid of its own', async () => {
      const probes = await Promise.all([world.start(), world.start(), world.start()]);
      const uids = probes.map(
        ({ id }) => /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${outermost(world, id)}/status`, 'utf8'))?.[1],
      );
      expect(new Set(uids).size).toBe(3);
      for (const uid of uids) expect(Number(uid)).toBeGreaterThanOrEqual(300_000);
      await Promise.all(probes.map(({ id }) => world.driver.destroy(id)));
    });

    test('a detached grandchild that ignores SIGTERM is gone within a second, and its groups with it', async () => {
      const times: number[] = [];
      // The fastest counts: a loaded machine makes one of them slow, a driver that waits makes all of them slow.
      while (times.length < 5 && !times.some((ms) => ms < 1_000))
        times.push(await msToDestroyStubborn(world));
      expect(Math.min(...times)).toBeLessThan(1_000);
    });

    test('a runtime that is no program ends with its error, without anything left', async () => {
      const probe = await world.start();
      probe.send('throw new Error("said on descriptor 2")', '/x.js');
      expect(await probe.run('setImmediate(() => { throw new Error("last words") }); return 1')).toBe(1);
      const exit = await world.exitOf(probe.id);
      expect(exit).toMatchObject({ code: 1 });
      expect(exit.stderrTail).toContain('last words');
    });
  });
});

/** @returns how long the end of a sandbox takes whose grandchild is detached and ignores SIGTERM, in milliseconds */
async function msToDestroyStubborn(world: DriverWorld): Promise<number> {
  const probe = await world.start();
  await probe.run(`
    const code = 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000)';
    const child = require('child_process').spawn('node', ['-e', code], { detached: true, stdio: 'ignore' });
    await new Promise((resolve) => child.once('spawn', resolve)); child.unref();`);
  const groups = recordOf(world, probe.id).cgroups;
  const pids = readFileSync(`${groups[0]}/cgroup.procs`, 'utf8').trim().split('\n');
  const members = pids.map((pid) => identityOf(Number(pid))!);
  expect(members.length).toBeGreaterThanOrEqual(4);
  const started = performance.now();
  await world.driver.destroy(probe.id);
  const ms = performance.now() - started;
  expect(members.filter(isAlive)).toEqual([]);
  for (const group of groups) expect(() => readFileSync(`${group}/cgroup.procs`)).toThrow(/ENOENT/);
  return ms;
}

interface JailRecord {
  readonly process: { readonly pid: number };
  readonly cgroups: readonly string[];
}

function recordOf(world: DriverWorld, id: string): JailRecord {
  return JSON.parse(readFileSync(`${world.runDir}/records/${id}.json`, 'utf8')) as JailRecord;
}

function outermost(world: DriverWorld, id: string): number {
  return recordOf(world, id).process.pid;
}

/** Reads the limits back from the files of either version. */
function cgroupValues(runDir: string, id: string): { memory: number; cpuMillis: number; pids: number } {
  const groups = (JSON.parse(readFileSync(`${runDir}/records/${id}.json`, 'utf8')) as JailRecord).cgroups;
  const read = (file: string): string | undefined => {
    for (const group of groups) {
      try {
        return readFileSync(`${group}/${file}`, 'utf8').trim();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
    return undefined;
  };
  const [quota, period] = read('cpu.max')?.split(' ') ?? [
    read('cpu.cfs_quota_us'),
    read('cpu.cfs_period_us'),
  ];
  return {
    memory: Number(read('memory.max') ?? read('memory.limit_in_bytes')),
    cpuMillis: (Number(quota) * 1_000) / Number(period),
    pids: Number(read('pids.max')),
  };
}
