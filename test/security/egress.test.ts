/** Hostile code, cases 23, 24, 27, 28 and 42: what a tenant who has read the broker tries against it. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { FRAMES_PER_SECOND } from '../../src/sandboxes/egress/frame-pace.ts';
import { listening } from '../support/listening.ts';
import { NameServer } from '../support/name-server.ts';
import { eventually } from '../support/platform.ts';
import { Arena } from './arena.ts';
import { channelAttack } from './channel-attack.ts';

const dns = await NameServer.start();
/** Takes connections, and never reads from them. */
const deaf = createServer((socket) => void socket.on('error', () => socket.destroy()).pause());
const deafPort = await listening(deaf);
dns.names.set('deaf.test', { a: ['127.0.0.1'] });
/** Says more than there is credit for, and reads nothing. */
const loud = createServer((socket) => {
  socket.on('error', () => socket.destroy()).write(Buffer.alloc(1_000_000));
});
const loudPort = await listening(loud);

const arena = Arena.prepare(
  { wallMs: 30_000, blockedMs: 10_000 },
  { BERTH_EGRESS_DNS: dns.address, BERTH_EGRESS_ALLOW: `127.0.0.1:${deafPort},127.0.0.1:${loudPort}` },
);
afterAll(() => {
  dns.close();
  deaf.close();
  loud.close();
});

const MiB = 1024 * 1024;

function resident(): number {
  const status = readFileSync(`/proc/${arena.platform.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024;
}

const openFrame = (port: number): string =>
  `frame(16, 0, number, Buffer.from(JSON.stringify({ host: 'deaf.test', port: ${port}, family: 0, invocation: 0 })))`;
const OPEN = openFrame(deafPort);
const ASK = `frame(21, 0, number, Buffer.from('{"name":"a","type":"A","family":0}'))`;

/** How much the server grows while `attack` goes on, at most. */
async function growth(attack: () => Promise<unknown>): Promise<number> {
  const before = resident();
  let most = before;
  const watch = setInterval(() => (most = Math.max(most, resident())), 20);
  await attack().finally(() => clearInterval(watch));
  return Math.max(most, resident()) - before;
}

describe('23: the DNS, asked in other ways', () => {
  it('tells no private address in records of all types, and no name of one', async () => {
    dns.names.set('inner.test', { a: ['10.1.2.3'], txt: 'public' });
    dns.names.set('both.test', { a: ['10.1.2.3', '93.184.215.14'] });
    dns.names.set('3.2.1.10.in-addr.arpa', { ptr: 'vault.corp.test' });
    const seen = await arena.result<Record<string, string>>(
      `
      const dns = require('node:dns').promises;
      const tell = (asked) => asked.then((found) => JSON.stringify(found), ({ code }) => code);
      module.exports = async () => ({
        inner: await tell(dns.resolveAny('inner.test')),
        both: await tell(dns.resolveAny('both.test')),
        reverse: await tell(dns.reverse('10.1.2.3')),
        ptr: await tell(dns.resolvePtr('3.2.1.10.in-addr.arpa')),
        capitals: await tell(dns.resolvePtr('3.2.1.10.IN-ADDR.ARPA.')),
        any: await tell(dns.resolveAny('3.2.1.10.in-addr.arpa')),
      });`,
      'questions',
    );
    expect(JSON.stringify(seen)).not.toMatch(/10\.1\.2\.3|vault/);
    expect(seen).toMatchObject({ inner: 'EACCES', reverse: 'EACCES', ptr: 'EACCES', capitals: 'EACCES' });
    expect(seen['any']).toBe('EACCES');
    expect(seen['both']).toContain('93.184.215.14');
    expect(dns.asked).not.toContain('3.2.1.10.in-addr.arpa');
    await arena.logLine('questions', /^egress: look-up of 3\.2\.1\.10\.in-addr\.arpa refused: .*private/);
  });
});

describe('24: connections that outlive their sandbox', () => {
  it('to a server that does not read: they are closed soon after', async () => {
    const inodes = (): number =>
      readdirSync(`/proc/${arena.platform.pid}/fd`).filter((fd) => {
        try {
          return readlinkSync(`/proc/${arena.platform.pid}/fd/${fd}`).startsWith('socket:');
        } catch {
          return false;
        }
      }).length;
    const before = inodes();
    // Each writes until the server has no more credit for it, because it holds what the kernel does not take. Then the attacker
    // says in the runtime's place that this was all, and that the connection is closed: its numbers are those of its order.
    await arena.result(
      channelAttack(`
        const net = require('node:net');
        const fill = () => new Promise((done, fail) => {
          let idle;
          const socket = net.connect(${deafPort}, 'deaf.test').on('error', fail);
          const more = () => { clearTimeout(idle); idle = setTimeout(done, 1_500); socket.write(Buffer.alloc(65_536), more); };
          more();
        });
        Promise.all(Array.from({ length: 20 }, fill)).then(() => {
          for (let number = 1; number <= 20; number++) say(Buffer.concat([frame(18, 1, number), frame(20, 0, number)]));
          cb(null, 1);
        }, cb);`),
      'leaver',
    );
    expect(await arena.platform.metric('berth_egress_open')).toBe(20);
    await arena.platform.must('DELETE', '/v1/tenants/attacker/functions/leaver');
    await eventually(async () => {
      expect(await arena.platform.metric('berth_egress_open')).toBe(0);
      expect(inodes()).toBeLessThan(before + 10);
    });
  });
});

/** milliseconds of CPU that the server has had */
function serverCpuMs(): number {
  const stat = readFileSync(`/proc/${arena.platform.pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

describe('24: a flood by many sandboxes of one tenant', () => {
  const FLOODING = 6;
  const FLOOD_MS = 4_000;

  it('gets as much of the server as a flood by one, and who does not flood is served', async () => {
    const refusals = (): Promise<number> =>
      arena.platform.metric('berth_egress_lookups_total{outcome="limited"}').catch(() => 0);
    const names = Array.from({ length: FLOODING }, (_, index) => `flood-${index}`);
    for (const name of names)
      await arena.deploy(
        name,
        channelAttack(`
          let number = 0;
          const piece = () => Buffer.concat(Array.from({ length: 1000 }, () => (number++, ${ASK})));
          const end = Date.now() + ${FLOOD_MS};
          // Who does not read its answers is not read: its loop must turn.
          const more = () => { say(piece()); if (Date.now() < end) setImmediate(more); else cb(null, number); };
          more();`),
      );
    await arena.deploy('neighbour', 'module.exports = (cb) => cb(null, 1)');
    const [countBefore, cpuBefore, startedAt] = [await refusals(), serverCpuMs(), performance.now()];
    const over = new AbortController();
    const floods = Promise.all(names.map((name) => arena.platform.call('attacker', name)));
    const ended = floods.finally(() => over.abort());
    while (!over.signal.aborted) {
      expect((await arena.platform.call('attacker', 'neighbour')).status).toBe(200);
      await arena.serveVictim();
      await delay(50);
    }
    for (const response of await ended) expect(response.status).toBe(200);
    const cpuMs = serverCpuMs() - cpuBefore;
    const seconds = (performance.now() - startedAt) / 1_000;
    const count = (await refusals()) - countBefore;
    // A second's worth may come at once, and each sandbox may be in the midst of what one read brought.
    expect(count).toBeLessThan(FRAMES_PER_SECOND * (seconds + 1) + FLOODING * 2_000);
    expect(count).toBeGreaterThan(10_000);
    expect(cpuMs).toBeLessThan((seconds * 1_000) / 2);
    await arena.logLine(names[0]!, /^egress: \d+ more refusals in the last second$/);
  });

  it('leaves each of them its turns: whoever lets its loop turn hears what became of every connection', async () => {
    const names = Array.from({ length: 4 }, (_, index) => `knocks-${index}`);
    for (const name of names)
      await arena.deploy(
        name,
        `
        const net = require('node:net');
        module.exports = async () => {
          const knocks = [];
          for (let made = 0; made < 2_500; made++) {
            if (made % 100 === 0) await new Promise(setImmediate);
            knocks.push(new Promise((done) => net.connect(${deafPort}, 'deaf.test').on('connect', function () { this.destroy(); done('connected'); }).on('error', ({ code }) => done(code))));
          }
          const counts = {};
          for (const code of await Promise.all(knocks)) counts[code] = (counts[code] ?? 0) + 1;
          return counts;
        };`,
      );
    const responses = await Promise.all(names.map((name) => arena.platform.call('attacker', name)));
    for (const response of responses) {
      expect(response.status).toBe(200);
      const counts = (await response.json()) as Record<string, number>;
      expect(Object.keys(counts).filter((code) => !['connected', 'EAGAIN', 'EMFILE'].includes(code))).toEqual(
        [],
      );
      expect(Object.values(counts).reduce((sum, one) => sum + one, 0)).toBe(2_500);
    }
  });
});

describe('24: connections to functions of one’s own', () => {
  it('that say nothing: they end after egressIdleMs, as outgoing ones', async () => {
    const limits = { wallMs: 30_000, blockedMs: 10_000 };
    await arena.platform.must('PATCH', '/v1/tenants/attacker', {
      limits: { ...limits, egressIdleMs: 1_000, egressOpensPerSecond: 10_000 },
    });
    await arena.deploy('quiet', 'module.exports = (cb) => cb(null, 1)');
    const seen = await arena.result<string[]>(`
      const net = require('node:net');
      const dial = () => new Promise((done) => net.connect(80, 'quiet.berth.internal').on('error', ({ code }) => done(code)).on('end', () => done('end')));
      module.exports = () => Promise.all(Array.from({ length: 50 }, dial));`);
    expect(seen).toEqual(Array.from({ length: 50 }, () => 'ETIMEDOUT'));
    await eventually(async () => expect(await arena.platform.metric('berth_egress_open')).toBe(0));
    await arena.platform.must('PATCH', '/v1/tenants/attacker', { limits });
  });
});

describe('42: what is in order, and too much of it', () => {
  it('questions whose answers nobody reads, after the response: the server fills no memory', async () => {
    await arena.deploy(
      'asker',
      channelAttack(`
        cb(null, 1);
        setTimeout(() => {
          let number = 0;
          const end = Date.now() + 8_000;
          while (Date.now() < end) say(Buffer.concat(Array.from({ length: 1500 }, () => (number++, ${ASK}))));
        }, 50);`),
    );
    const grown = await growth(async () => {
      await arena.platform.call('attacker', 'asker');
      const until = Date.now() + 6_000;
      while (Date.now() < until) await arena.serveVictim();
    });
    expect(grown / MiB).toBeLessThan(64);
  });

  it('a body in pieces of one byte, to callers that do not read', async () => {
    await arena.deploy(
      'crumbs',
      channelAttack(`
        const number = (globalThis.calls = (globalThis.calls ?? 0) + 1);
        const piece = Buffer.concat(Array.from({ length: 1000 }, () => frame(Data, 0, number, Buffer.from('x'))));
        say(Buffer.concat([frame(Response, 0, number, head(200, [])), frame(Data, 0, number, Buffer.alloc(65536)), frame(Data, 0, number, Buffer.alloc(65536))]));
        let said = 0;
        const more = () => { for (let n = 0; n < 25; n++) say(piece); if (++said < 4) setTimeout(more, 5); else globalThis.done = (globalThis.done ?? 0) + 1; };
        setTimeout(more, 300);`),
    );
    const grown = await growth(async () => {
      const callers = Array.from({ length: 30 }, () => {
        const socket = connect(arena.platform.port, '127.0.0.1').pause();
        socket.on('error', () => undefined);
        socket.write('GET /run/attacker/crumbs HTTP/1.1\r\nHost: a.test\r\n\r\n');
        return socket;
      });
      const until = Date.now() + 5_000;
      while (Date.now() < until) await arena.serveVictim();
      for (const socket of callers) socket.destroy();
    });
    expect(grown / MiB).toBeLessThan(128);
  });

  it('credit bit by bit, for what a server sent, kills the sandbox', async () => {
    const problem = await arena.problem(
      channelAttack(`
        const number = 1;
        say(${openFrame(loudPort)});
        setTimeout(() => { for (let byte = 0; byte < 50_000; byte++) say(frame(19, 0, number, u32(1))); cb(null, 1); }, 1_000);`),
    );
    expect(problem).toMatchObject({ code: 'PROTOCOL_VIOLATION', status: 502 });
  });

  it('bytes one by one, to a server that does not read: others are served in time', async () => {
    await arena.deploy(
      'dripper',
      channelAttack(`
        const numbers = Array.from({ length: 40 }, (_, index) => index + 1);
        for (const number of numbers) say(${OPEN});
        const piece = (number) => Buffer.concat(Array.from({ length: 1000 }, () => frame(18, 0, number, Buffer.from('x'))));
        setTimeout(() => { for (const number of numbers) for (let n = 0; n < 10; n++) say(piece(number)); cb(null, 1); }, 2_000);`),
    );
    const over = new AbortController();
    let slowestMs = 0;
    const grown = await growth(async () => {
      const attack = arena.platform.call('attacker', 'dripper').finally(() => over.abort());
      while (!over.signal.aborted) {
        const asked = performance.now();
        expect((await fetch(`${arena.platform.url}/healthz`)).status).toBe(200);
        slowestMs = Math.max(slowestMs, performance.now() - asked);
      }
      expect((await attack).status).toBe(200);
    });
    expect(grown / MiB).toBeLessThan(64);
    expect(slowestMs).toBeLessThan(3_000);
  });
});

describe('27: framing that is broken, on the way to a function of one’s own', () => {
  it('is answered with 400, and the server goes on', async () => {
    const { pid } = arena.platform;
    await arena.deploy(
      'slow',
      'module.exports = (req, res) => { setTimeout(() => req.resume(), 500); req.on("end", () => res.end()); };',
    );
    const seen = await arena.result<string[]>(`
      const net = require('node:net');
      const head = 'POST / HTTP/1.1\\r\\nHost: a\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n';
      const piece = '8000\\r\\n' + 'y'.repeat(32_768) + '\\r\\n';
      const send = (...texts) => new Promise((done) => {
        let heard = '';
        const socket = net.connect(80, 'slow.berth.internal', () => texts.forEach((text) => socket.write(text)));
        socket.on('data', (bytes) => (heard += bytes)).on('error', ({ code }) => done(code)).on('close', () => done(heard.slice(0, 12)));
      });
      module.exports = () => Promise.all([
        send('no HTTP\\r\\n\\r\\n'),
        send(head, 'ZZ\\r\\n'),
        ...Array.from({ length: 20 }, (_, pieces) => send(head, ...Array.from({ length: pieces }, () => piece), 'ZZ\\r\\n\\r\\n')),
      ]);`);
    expect(new Set(seen)).toEqual(new Set(['HTTP/1.1 400']));
    expect(arena.platform.pid).toBe(pid);
  });
});

describe('28: a response that breaks off, on the way to a function of one’s own', () => {
  it('of HTTP/1.0 too is never taken for a whole one, and the server goes on', async () => {
    const { pid } = arena.platform;
    await arena.platform.must('PATCH', '/v1/tenants/attacker', {
      limits: { wallMs: 1_000, blockedMs: 10_000 },
    });
    await arena.deploy('stalls', 'module.exports = (req, res) => { res.write("half"); };');
    await arena.deploy(
      'caller',
      `
      const net = require('node:net');
      const call = (version) => new Promise((done) => {
        const socket = net.connect(80, 'stalls.berth.internal', () => socket.write('GET / HTTP/' + version + '\\r\\nHost: a\\r\\n\\r\\n'));
        socket.resume().on('error', ({ code }) => done(code)).on('end', () => done('whole'));
      });
      module.exports = async (req, res) => {
        const beat = setInterval(() => res.write(' '), 200);
        const seen = [await call('1.0'), await call('1.1')];
        clearInterval(beat);
        res.end(JSON.stringify(seen));
      };`,
    );
    const response = await arena.platform.call('attacker', 'caller');
    expect(await response.json()).toEqual(['ECONNRESET', 'ECONNRESET']);
    expect(arena.platform.pid).toBe(pid);
    await arena.platform.must('PATCH', '/v1/tenants/attacker', {
      limits: { wallMs: 30_000, blockedMs: 10_000 },
    });
  });
});
