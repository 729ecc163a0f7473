/** Hostile code, cases 1-10: the process. */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/platform.ts';
import { hasOwnKernel, isDocker } from '../support/test-driver.ts';
import { Arena } from './arena.ts';

const LIMITS = { blockedMs: 1_000, memoryBytes: 128 * 1024 * 1024 };
const SHORT_SPIN_MS = 1_000;
const arena = Arena.prepare(LIMITS);

describe('1: code that blocks its event loop is killed from outside', () => {
  const located = {
    'an endless loop': 'module.exports = (cb) => {\n  while (true) {}\n};',
    'a regular expression without end': `module.exports = (cb) => {\n  cb(null, /^(a+)+$/.test('${'a'.repeat(45)}b'));\n};`,
    'endless microtasks':
      'module.exports = (cb) => {\n  const again = () => { Promise.resolve().then(again); };\n  again();\n};',
  };
  for (const [what, source] of Object.entries(located)) {
    it(`${what}, and the error names limit and place`, async () => {
      const problem = await arena.problem(source, 'spin');
      expect(problem.code).toBe('EVENT_LOOP_BLOCKED');
      expect(problem.detail).toMatch(/blockedMs \(1000 ms\)/);
      expect(problem.detail).toMatch(/attack\.js:2/);
      await arena.logLine('spin', /blockedMs/);
    });
  }

  it('an endless process.nextTick; its place is not always found, because most of its time is spent in Node itself', async () => {
    const problem = await arena.problem(
      'module.exports = (cb) => {\n  const again = () => process.nextTick(again);\n  again();\n};',
      'spin',
    );
    expect(problem.code).toBe('EVENT_LOOP_BLOCKED');
    expect(problem.detail).toMatch(/blockedMs \(1000 ms\)/);
    await arena.logLine('spin', /blockedMs/);
  });

  it('an endless setImmediate, by the limit spinMs', async () => {
    const problem = await arena.problem(
      'module.exports = (cb) => {\n  const again = () => setImmediate(again);\n  again();\n};',
      'spin',
    );
    expect(problem).toMatchObject({ code: 'EVENT_LOOP_BLOCKED' });
    expect(problem.detail).toMatch(/spinMs/);
    await arena.logLine('spin', /spinMs/);
  });

  it('Atomics.wait, which blocks without burning', async () => {
    const problem = await arena.problem(
      'module.exports = (cb) => { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); };',
      'spin',
    );
    expect(problem.code).toBe('EVENT_LOOP_BLOCKED');
    await arena.logLine('spin', /blockedMs/);
  });

  it('while other functions of the tenant go on', async () => {
    await arena.deploy('good', 'module.exports = (cb) => cb(null, 1)');
    await arena.deploy('bad', 'module.exports = (cb) => { while (true) {} }');
    const bad = arena.platform.problem('attacker', 'bad');
    for (let call = 0; call < 20; call++)
      expect((await arena.platform.call('attacker', 'good')).status).toBe(200);
    expect((await bad).code).toBe('EVENT_LOOP_BLOCKED');
  });

  it('at the top level of a module as well', async () => {
    const problem = await arena.problem('while (true) {}\nmodule.exports = (cb) => cb();', 'top');
    expect(['EVENT_LOOP_BLOCKED', 'LOAD_TIMEOUT']).toContain(problem.code);
  });
});

describe('2: code that waits is not code that spins', () => {
  // The whole time once: who waits is not looked at by any driver.
  const waitMs = isDocker ? 5_000 : 20_000;
  it('waiting for many times the limit of loops, 1 s, succeeds', async () => {
    await arena.deploy(
      'slow',
      `module.exports = async (ctx) => { await new Promise((done) => setTimeout(done, ${waitMs})); return { waited: true }; };`,
    );
    const response = await arena.platform.call('attacker', 'slow');
    expect(await response.json()).toEqual({ waited: true });
  });

  it.for([
    [
      'a child process',
      'require("node:child_process").execFile(process.execPath, ["-e", BURN], (error) => done(error))',
    ],
    [
      'a worker thread',
      'new (require("node:worker_threads").Worker)(BURN, { eval: true }).once("error", done).once("exit", () => done())',
    ],
  ])('so do three times spinMs of waiting for %s that burns a core', async ([, start]) => {
    await arena.platform.must('PATCH', '/v1/tenants/attacker', {
      limits: { ...LIMITS, spinMs: SHORT_SPIN_MS },
    });
    await arena.deploy(
      'boss',
      `const BURN = 'const end = Date.now() + ${3 * SHORT_SPIN_MS}; while (Date.now() < end);';
       module.exports = (cb) => { const done = (error) => cb(error ?? null, { burnt: true }); ${start}; };`,
    );
    const answer = await (await arena.platform.call('attacker', 'boss')).json();
    // Threads of a guest do not show on the host, so there the whole sandbox is counted.
    const isTakenForSpin = hasOwnKernel && (answer as { code?: string }).code === 'EVENT_LOOP_BLOCKED';
    if (!isTakenForSpin) expect(answer).toEqual({ burnt: true });
    await arena.platform.must('PATCH', '/v1/tenants/attacker', { limits: LIMITS });
  });

  it('a body that arrives slowly succeeds', async () => {
    await arena.deploy(
      'slow',
      'module.exports = (req, res) => { let size = 0; req.on("data", (c) => { size += c.length; }).on("end", () => res.end(String(size))); };',
    );
    const body = new ReadableStream({
      async start(controller) {
        for (let piece = 0; piece < 6; piece++) {
          controller.enqueue(new Uint8Array(10));
          await delay(700);
        }
        controller.close();
      },
    });
    const response = await arena.platform.call('attacker', 'slow', {
      method: 'POST',
      body,
      duplex: 'half',
    } as RequestInit);
    expect(await response.text()).toBe('60');
  });
});

describe('3: a process that ends in mid-request', () => {
  const ends = {
    'process.exit(0)': ['process.exit(0)', /exit/],
    'process.abort()': ['process.abort()', /SIGABRT|signal|abort/],
    'a kill of itself': ['process.kill(process.pid, 9)', /SIGKILL/],
    'an uncaught exception': ['setTimeout(() => { throw new TypeError("boom"); }, 1)', /uncaught/i],
    'an unhandled rejection': ['Promise.reject(new Error("boom"))', /unhandled|uncaught/i],
  } as const;
  for (const [index, [what, [deed, reason]]] of Object.entries(ends).entries()) {
    const ender = `ender-${index}`;
    it(`by ${what} gives 502 with the reason, and the next request a fresh sandbox`, async () => {
      const problem = await arena.problem(
        `module.exports = (ctx, cb) => { if (ctx.query.go) return cb(null, { pid: process.pid }); ${deed}; };`,
        ender,
      );
      expect(problem).toMatchObject({ code: 'FUNCTION_CRASHED', status: 502 });
      expect(problem.detail).toMatch(reason);
      await arena.logLine(ender, reason);
      const lines = await arena.platform.logs('attacker', ender);
      expect(lines.filter(({ source, text }) => source === 'platform' && reason.test(text))).toHaveLength(1);
      expect((await arena.platform.call('attacker', ender, { path: '?go=1' })).status).toBe(200);
    });
  }
});

describe('4: memory', () => {
  const bombs = {
    'a heap bomb': 'const all = []; for (;;) all.push(new Array(1000).fill({ x: all.length }));',
    'Buffer.alloc': 'const all = []; for (;;) all.push(Buffer.alloc(8e6, 1));',
    'typed arrays': 'const all = []; for (;;) all.push(new Float64Array(1e6).fill(1));',
    'WebAssembly memory':
      'const m = new WebAssembly.Memory({ initial: 1, maximum: 65536 }); for (;;) { m.grow(64); new Uint8Array(m.buffer).fill(1); }',
  };
  for (const [what, bomb] of Object.entries(bombs)) {
    it(`${what} ends only its own sandbox, by MEMORY_LIMIT`, async () => {
      const problem = await arena.problem(`module.exports = (cb) => { ${bomb} };`, 'bomb');
      // Filling memory page by page is slow under gVisor: the time may be over first.
      if (hasOwnKernel && problem.code === 'EVENT_LOOP_BLOCKED') return;
      expect(problem.code).toBe('MEMORY_LIMIT');
      expect(problem.detail).toMatch(/memoryBytes/);
      await arena.logLine('bomb', /memoryBytes/);
    });
  }

  it('four heap bombs at once as well, though V8 then collects garbage for longer than blockedMs', async () => {
    const names = ['bomb-1', 'bomb-2', 'bomb-3', 'bomb-4'];
    const bomb = `module.exports = async () => { const all = []; for (;;) all.push({ a: [1, 2, 3], s: 'x' + all.length }); };`;
    for (const name of names) await arena.deploy(name, `// ${name}\n${bomb}`);
    const problems = await Promise.all(names.map((name) => arena.platform.problem('attacker', name)));
    expect(problems.map(({ code }) => code)).toEqual(names.map(() => 'MEMORY_LIMIT'));
  });
});

describe('5: processes and threads without number', () => {
  it('a fork bomb meets EAGAIN, or ends itself', async () => {
    const bomb = `
      const { spawn } = require('child_process');
      module.exports = (cb) => {
        let started = 0, left = 300; const refused = new Set();
        const settle = () => { if (--left === 0) cb(null, { started, refused: [...refused] }); };
        for (let i = 0; i < 300; i++) {
          try {
            const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'], { stdio: 'ignore' });
            // Stopped before it grows: the limit of processes is tried here, not that of memory.
            if (child.pid) process.kill(child.pid, 'SIGSTOP');
            child.on('spawn', () => { started++; settle(); });
            child.on('error', (e) => { refused.add(e.code); settle(); });
          } catch (e) { refused.add(e.code); settle(); }
        }
      };`;
    if (hasOwnKernel) {
      // Processes are gVisor's own business; what they cost ends the sandbox.
      await arena.deploy('forks', bomb);
      const response = await arena.platform.call('attacker', 'forks');
      if (response.status !== 200)
        expect(['MEMORY_LIMIT', 'EVENT_LOOP_BLOCKED', 'FUNCTION_CRASHED']).toContain(
          ((await response.json()) as { code: string }).code,
        );
      return;
    }
    const result = await arena.result<{ refused: string[]; started: number }>(bomb);
    expect(result.refused).toContain('EAGAIN');
    expect(result.started).toBeLessThan(64);
  });

  it('1,000 worker threads do not come to be', async () => {
    await arena.deploy(
      'threads',
      `
      const { Worker } = require('worker_threads');
      module.exports = (cb) => {
        let failed = 0;
        for (let i = 0; i < 1000; i++) {
          try { new Worker('setInterval(() => {}, 1000)', { eval: true }).on('error', () => { failed++; }); } catch { failed++; }
        }
        setTimeout(() => cb(null, { failed }), 500);
      };`,
    );
    const response = await arena.platform.call('attacker', 'threads');
    if (response.status === 200)
      expect(((await response.json()) as { failed: number }).failed).toBeGreaterThan(900);
    else
      expect(['MEMORY_LIMIT', 'EVENT_LOOP_BLOCKED', 'FUNCTION_CRASHED']).toContain(
        ((await response.json()) as { code: string }).code,
      );
  });
});

describe('6: processes that outlive their parent', () => {
  const stubborn = `process.on("SIGTERM", () => {}); process.on("SIGHUP", () => {}); setInterval(() => {}, 1000)`;

  it('a detached grandchild that ignores SIGTERM goes with its sandbox', async () => {
    const { pid } = await arena.result<{ pid: number }>(
      `
      const { spawn } = require('child_process');
      module.exports = (cb) => {
        const child = spawn(process.execPath, ['-e', '${stubborn}'], { detached: true, stdio: 'ignore' });
        child.on('error', cb).on('spawn', () => { child.unref(); cb(null, { pid: child.pid }); });
      };`,
      'grandchild',
    );
    expect(pid).toBeGreaterThan(2);
    await arena.platform.must('DELETE', '/v1/tenants/attacker/functions/grandchild');
    await eventually(async () => {
      const blank = await arena.platform.metric('berth_sandboxes{state="blank"}');
      expect(arena.platform.sandboxes().size).toBe(blank + 1);
    }, 5_000);
  });

  it('one whose sandbox kills itself goes within moments as well', async () => {
    const problem = await arena.problem(
      `
      const { spawn } = require('child_process');
      module.exports = (cb) => {
        const child = spawn(process.execPath, ['-e', '${stubborn}'], { detached: true, stdio: 'ignore' });
        child.on('error', cb).on('spawn', () => process.kill(process.pid, 'SIGKILL'));
      };`,
      'suicide',
    );
    expect(problem.code).toBe('FUNCTION_CRASHED');
    await eventually(async () => {
      const blank = await arena.platform.metric('berth_sandboxes{state="blank"}');
      expect(arena.platform.sandboxes().size).toBe(blank + 1);
    }, 5_000);
  });

  // Starting a Node.js twice for each takes gVisor's ptrace so long that forty would be a spin (spinMs).
  const orphans = hasOwnKernel ? 8 : 40;
  it(`orphans are reaped: ${orphans} of them leave no zombie, and their pids can be used again`, async () => {
    const { zombies, started } = await arena.result<{ zombies: number; started: number }>(
      `
      const { spawn } = require('child_process');
      const fs = require('fs');
      const orphan = 'require("child_process").spawn(process.execPath, ["-e", ""], { detached: true, stdio: "ignore" }).on("spawn", () => process.kill(process.pid, 9)).on("error", () => process.exit(1))';
      const once = () => new Promise((done) => spawn(process.execPath, ['-e', orphan], { stdio: 'ignore' }).on('exit', (code, signal) => done(signal === 'SIGKILL')).on('error', () => done(false)));
      const count = () => fs.readdirSync('/proc').filter((n) => /^[0-9]+$/.test(n)).filter((n) => { try { return /^State:\\s+Z/m.test(fs.readFileSync('/proc/' + n + '/status', 'utf8')); } catch { return false; } }).length;
      module.exports = async () => {
        let started = 0;
        for (let n = 0; n < ${orphans}; n++) if (await once()) started++;
        let zombies = count();
        for (let wait = 0; wait < 100 && zombies > 0; wait++) { await new Promise((d) => setTimeout(d, 50)); zombies = count(); }
        return { zombies, started };
      };`,
      'orphans',
    );
    expect(started).toBe(orphans);
    expect(zombies).toBe(0);
  });
});

it('7: a process that stops itself is replaced', async () => {
  const source =
    'module.exports = (ctx, cb) => { if (ctx.query.go) return cb(null, 1); process.kill(process.pid, "SIGSTOP"); };';
  const problem = await arena.problem(source, 'stopper');
  expect(problem.code).toBe('EVENT_LOOP_BLOCKED');
  await arena.logLine('stopper', /blockedMs/);
  expect((await arena.platform.call('attacker', 'stopper', { path: '?go=1' })).status).toBe(200);
});

it('8: overwritten globals change nothing but the attacker', async () => {
  await arena.deploy(
    'vandal',
    `
    module.exports = (ctx, cb) => {
      console.log('before');
      JSON.parse = JSON.stringify = () => 'vandal';
      globalThis.Promise = globalThis.fetch = globalThis.setImmediate = function () {};
      Buffer.from = Buffer.alloc = Buffer.allocUnsafe = Buffer.concat = () => { throw new Error('vandal'); };
      require('http').IncomingMessage = null;
      process.exit = process.nextTick = () => {};
      Object.prototype.vandal = 'everywhere';
      Array.prototype.push = () => 0;
      Map.prototype.get = Map.prototype.set = () => undefined;
      cb(null, { still: 'here' });
    };`,
  );
  const response = await arena.platform.call('attacker', 'vandal');
  expect(response.status).toBeLessThan(600);
  await response.arrayBuffer();
  await arena.logLine('vandal', /before/);
  const victim = await arena.platform.call('victim', 'hello');
  expect(await victim.json()).toEqual({ served: true });
});

it('8: limits hold for who has overwritten everything', async () => {
  const vandal = `for (const name of ['JSON', 'Promise', 'Buffer', 'Map', 'Set', 'setTimeout', 'setImmediate', 'queueMicrotask', 'Error', 'process']) globalThis[name] = undefined;
    for (const type of [Array, String, Object, Function]) for (const name of ['toString', 'valueOf', 'call', 'apply', 'map', 'forEach', 'push', 'then']) type.prototype[name] = () => { throw 1; };`;
  const spin = await arena.problem(
    `const clean = 1; module.exports = (cb) => { ${vandal} while (true) {} };`,
    'spin',
  );
  expect(spin.code).toBe('EVENT_LOOP_BLOCKED');
  const bomb = await arena.problem(
    `const full = []; const { alloc } = Buffer; module.exports = (cb) => { ${vandal} for (let n = 0; ; n++) full[n] = alloc(8e6, 1); };`,
    'bomb',
  );
  expect(bomb.code).toBe('MEMORY_LIMIT');
});

describe('9: debuggers', () => {
  const attempts = {
    'inspector.open()': 'require("inspector").open(9229, "0.0.0.0"); cb(null, { opened: true });',
    SIGUSR1: 'process.kill(process.pid, "SIGUSR1"); setTimeout(() => cb(null, {}), 300);',
    'v8.setFlagsFromString':
      'require("v8").setFlagsFromString("--expose-gc --allow-natives-syntax"); cb(null, {});',
  };
  for (const [what, deed] of Object.entries(attempts)) {
    it(`${what} opens nothing on the host`, async () => {
      await arena.deploy('debugged', `module.exports = (ctx, cb) => { ${deed} };`);
      await (await arena.platform.call('attacker', 'debugged')).arrayBuffer();
      await expect(reach(9229)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    });
  }

  it('NODE_OPTIONS of the tenant reaches no other process', async () => {
    await arena.platform.must('PUT', '/v1/tenants/attacker/functions/options', {
      source: 'module.exports = (cb) => cb(null, process.execArgv)',
      env: { NODE_OPTIONS: '--inspect=0.0.0.0:9229' },
    });
    expect((await arena.platform.call('attacker', 'options')).status).toBe(200);
    await expect(reach(9229)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await arena.platform.must('DELETE', '/v1/tenants/attacker/functions/options');
  });
});

it('10: two sandboxes share no randomness and no state', async () => {
  const source =
    'globalThis.seen = (globalThis.seen || 0) + 1; module.exports = (cb) => cb(null, [Math.random(), crypto.randomUUID(), require("crypto").randomBytes(8).toString("hex"), globalThis.seen]);';
  const results = await Promise.all(
    [1, 2, 3].map((n) => arena.result<[number, string, string, number]>(`// ${n}\n${source}`, `random-${n}`)),
  );
  for (const field of [0, 1, 2] as const)
    expect(new Set(results.map((result) => result[field])).size).toBe(3);
  expect(results.map((result) => result[3])).toEqual([1, 1, 1]);
});

function reach(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', reject);
  });
}
