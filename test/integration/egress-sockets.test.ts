/** Sockets of tenants' code through the broker: `net`, `tls`, `http`, `https`, `http2`, `fetch`, without a word in that code. */
import { createServer as createHttp } from 'node:http';
import { createSecureServer as createHttp2 } from 'node:http2';
import { type AddressInfo, createServer as createNet, type Server, type Socket } from 'node:net';
import { createServer as createTls, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { memoryConnection } from '../../src/gateway/memory-connection.ts';
import { makeCertificate } from '../support/certificate.ts';
import { eventually } from '../support/platform.ts';
import { type EgressWorld, LOOPBACK, openEgressWorld } from './egress-world.ts';

const { key, cert } = makeCertificate(['secure.test', '*.secure.test']);
const sockets = new Set<Socket>();
let world: EgressWorld;

const servers = {
  http: createHttp((request, response) => {
    let size = 0;
    request.on('data', (chunk: Buffer) => (size += chunk.length));
    request.on('end', () => {
      if (request.url === '/big') return response.end(Buffer.alloc(5_000_000, 'x'));
      if (request.url === '/redirect')
        return response.writeHead(302, { location: 'http://metadata.test/secret' }).end();
      response.end(`${request.method} ${request.url} ${size} ${request.headers.host}`);
    });
  }),
  echo: createNet({ allowHalfOpen: true }, (socket) => socket.pipe(socket)),
  /** Sends as fast as it may. */
  flood: createNet((socket) => {
    const chunk = Buffer.alloc(64 * 1024);
    const send = (): void => {
      while (socket.write(chunk));
    };
    socket.on('drain', send);
    send();
  }),
  /** Takes nothing. */
  deaf: createNet((socket) => socket.pause()),
  reset: createNet((socket) => socket.once('data', () => socket.resetAndDestroy())),
  tls: createTls({ key, cert, ALPNProtocols: ['other', 'berth'] }, (socket: TLSSocket) => {
    socket.write(`${socket.alpnProtocol} ${socket.servername} `);
    socket.pipe(socket);
  }),
  http2: createHttp2({ key, cert, allowHTTP1: true }, (request, response) => {
    response.end(`${request.httpVersion} ${request.url}`);
  }),
} satisfies Record<string, Server>;

function port(name: keyof typeof servers): number {
  return (servers[name].address() as AddressInfo).port;
}

beforeAll(async () => {
  world = await openEgressWorld();
  for (const server of Object.values(servers) as Server[]) {
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  }
  for (const name of ['upstream.test', 'secure.test', 'a.secure.test']) world.names.set(name, ['127.0.0.1']);
  world.names.set('metadata.test', ['169.254.169.254']);
});
afterEach(async () => {
  world.policy = LOOPBACK;
  world.limits = {};
  for (const socket of sockets) socket.destroy();
  await eventually(() => expect(world.broker.open).toBe(0));
});
afterAll(async () => {
  await world.close();
  for (const server of Object.values(servers) as Server[]) server.close();
});

/** Settles when a socket is closed. */
const CLOSED = 'const closed = (socket) => new Promise((done) => socket.on("close", done));';
const COLLECT =
  'const collect = async (stream) => { let text = ""; for await (const chunk of stream) text += chunk; return text; };';

describe('net', () => {
  it('connects by name, tells where it is, and speaks both ways', async () => {
    const seen = await world.run<Record<string, unknown>>(`
      const net = require('node:net');
      const socket = net.connect(${port('echo')}, 'upstream.test');
      const events = [];
      for (const name of ['lookup', 'connect', 'ready']) socket.on(name, (...values) => events.push([name, ...values]));
      socket.setNoDelay(true).setKeepAlive(true, 1000).unref().ref();
      socket.on('connect', () => socket.end('hello'));
      let text = ''; for await (const chunk of socket) text += chunk;
      const { remoteAddress, remotePort, remoteFamily } = socket;
      return { text, events, remoteAddress, remotePort, remoteFamily, read: socket.bytesRead, written: socket.bytesWritten };`);
    expect(seen).toEqual({
      text: 'hello',
      events: [['lookup', null, '127.0.0.1', 4, 'upstream.test'], ['connect'], ['ready']],
      read: 5,
      written: 5,
    });
  });

  it('knows both addresses while it is open', async () => {
    const seen = await world.run<Record<string, unknown>>(`
      const socket = require('node:net').connect({ port: ${port('echo')}, host: 'upstream.test' });
      await new Promise((done) => socket.once('connect', done));
      const { remoteAddress, remotePort, remoteFamily, localAddress, connecting, pending, readyState } = socket;
      const { family } = socket.address();
      socket.destroy();
      return { remoteAddress, remotePort, remoteFamily, localAddress, family, connecting, pending, readyState };`);
    expect(seen).toEqual({
      remoteAddress: '127.0.0.1',
      remotePort: port('echo'),
      remoteFamily: 'IPv4',
      localAddress: '127.0.0.1',
      family: 'IPv4',
      connecting: false,
      pending: false,
      readyState: 'open',
    });
  });

  it('closes halves: what comes after the own end is still read', async () => {
    const text = await world.run<string>(`
      const socket = require('node:net').connect({ port: ${port('echo')}, host: 'upstream.test', allowHalfOpen: true });
      socket.end(Buffer.alloc(400_000, 'y'));
      ${COLLECT}
      const text = await collect(socket);
      return text.length + ' ' + /^y+$/.test(text);`);
    expect(text).toBe('400000 true');
  });

  it('holds the sender back when code does not read, and goes on when it does', async () => {
    const seen = await world.run<{ held: number; later: number }>(`
      const socket = require('node:net').connect(${port('flood')}, 'upstream.test');
      socket.once('readable', () => undefined);
      await new Promise((done) => setTimeout(done, 500));
      const held = socket.bytesRead;
      socket.on('data', () => undefined);
      while (socket.bytesRead < 20_000_000) await new Promise((done) => setTimeout(done, 10));
      socket.destroy();
      return { held, later: socket.bytesRead };`);
    // one window on the channel, and the buffer of the stream
    expect(seen.held).toBeLessThan(512 * 1024);
  });

  it('holds code back when the other side does not read', async () => {
    const seen = await world.run<{ queued: number; drained: boolean }>(`
      const socket = require('node:net').connect(${port('deaf')}, 'upstream.test');
      await new Promise((done) => socket.once('connect', done));
      let drained = true;
      socket.on('drain', () => (drained = true));
      for (let n = 0; n < 200; n++) { drained = socket.write(Buffer.alloc(100_000)); }
      await new Promise((done) => setTimeout(done, 500));
      const queued = socket.writableLength;
      socket.destroy();
      return { queued, drained };`);
    expect(seen.drained).toBe(false);
    expect(seen.queued).toBeGreaterThan(5_000_000);
  });

  it('hears of a reset and of a refused connection as of a socket’s own', async () => {
    const free = createNet().listen(0, '127.0.0.1');
    await new Promise((done) => free.once('listening', done));
    const closedPort = (free.address() as AddressInfo).port;
    await new Promise((done) => free.close(done));
    const seen = await world.run<unknown[]>(`
      const net = require('node:net');
      const failure = (port) => new Promise((done) => {
        const socket = net.connect(port, 'upstream.test', () => socket.write('x'));
        socket.on('error', ({ code, syscall, errno }) => done({ code, syscall, errno }));
      });
      return [await failure(${port('reset')}), await failure(${closedPort})];`);
    expect(seen).toEqual([
      { code: 'ECONNRESET', syscall: 'read', errno: -104 },
      { code: 'ECONNREFUSED', syscall: 'connect', errno: -111 },
    ]);
  });

  it('can be given up before it is connected, and time out', async () => {
    const seen = await world.run<unknown>(`
      const net = require('node:net');
      ${CLOSED}
      const early = net.connect(${port('echo')}, 'upstream.test');
      early.destroy();
      await closed(early);
      const idle = net.connect({ port: ${port('echo')}, host: 'upstream.test', timeout: 50 });
      await new Promise((done) => idle.once('timeout', done));
      idle.destroy();
      const abort = new AbortController();
      const aborted = net.connect({ port: ${port('echo')}, host: 'upstream.test', signal: abort.signal });
      setImmediate(() => abort.abort());
      return new Promise((done) => aborted.on('error', ({ name }) => done(name)));`);
    expect(seen).toBe('AbortError');
  });

  it('is closed after egressIdleMs without a byte, and not while one moves now and then', async () => {
    world.limits = { egressIdleMs: 1_000 };
    const seen = await world.run<unknown>(`
      const net = require('node:net');
      const dial = () => net.connect(${port('echo')}, 'upstream.test');
      const ended = (socket) => new Promise((done) => socket.on('error', (error) => done(error.code + ' ' + error.reason)));
      const busy = dial();
      busy.resume().on('error', () => undefined);
      const beat = setInterval(() => busy.write('x'), 300);
      const idle = await ended(dial());
      const wasBusy = !busy.destroyed;
      clearInterval(beat);
      return [idle, wasBusy, await ended(busy)];`);
    const reason = 'ETIMEDOUT nothing moved for egressIdleMs (1000 ms)';
    expect(seen).toEqual([reason, true, reason]);
  });

  it('to an own function is closed so, too: it has no clock of its own', async () => {
    world.limits = { egressIdleMs: 1_000 };
    world.connectInternal = () => {
      const [theirs, ours] = memoryConnection();
      ours.on('error', () => undefined).resume();
      return theirs;
    };
    const seen = await world.run<string>(`
      const socket = require('node:net').connect(80, 'own.berth.internal');
      return new Promise((done) => socket.on('error', (error) => done(error.code + ' ' + error.reason)));`);
    expect(seen).toBe('ETIMEDOUT nothing moved for egressIdleMs (1000 ms)');
  });

  it('may be used again after its end', async () => {
    const seen = await world.run<string>(`
      const socket = new (require('node:net').Socket)();
      ${COLLECT} ${CLOSED}
      const once = async (text) => {
        const done = closed(socket);
        socket.connect(${port('echo')}, 'upstream.test', () => socket.end(text));
        let all = ''; const take = (chunk) => (all += chunk);
        socket.on('data', take); await done; socket.off('data', take); return all;
      };
      return (await once('one')) + (await once('two'));`);
    expect(seen).toBe('onetwo');
  });

  it('leaves what stays in the sandbox alone', async () => {
    const seen = await world.run<unknown>(`
      const net = require('node:net');
      ${COLLECT}
      const server = net.createServer((socket) => socket.end('mine')).listen(0, '127.0.0.1');
      await new Promise((done) => server.once('listening', done));
      const { port } = server.address();
      const texts = [];
      for (const host of ['127.0.0.1', 'localhost', undefined]) texts.push(await collect(net.connect({ port, host })));
      const unix = net.createServer((socket) => socket.end('unix')).listen('/tmp/berth-test-' + process.pid + '.sock');
      await new Promise((done) => unix.once('listening', done));
      texts.push(await collect(net.connect(unix.address())));
      server.close(); unix.close();
      return texts;`);
    expect(seen).toEqual(['mine', 'mine', 'mine', 'unix']);
    expect(world.asked).not.toContain('localhost');
  });

  it('takes a look-up or a block list of the code itself', async () => {
    const seen = await world.run<unknown>(`
      const net = require('node:net');
      ${COLLECT}
      const lookup = (host, options, done) => done(null, options.all ? [{ address: '127.0.0.1', family: 4 }] : '127.0.0.1', 4);
      const open = net.connect({ port: ${port('echo')}, host: 'nowhere.test', lookup });
      await new Promise((done) => open.once('connect', done)).catch(() => undefined);
      open.end('mine');
      const blockList = new net.BlockList(); blockList.addAddress('127.0.0.1');
      const blocked = net.connect({ port: ${port('echo')}, host: 'upstream.test', blockList });
      const code = await new Promise((done) => blocked.once('error', ({ code }) => done(code)));
      return [await collect(open), code];`);
    expect(seen).toEqual(['mine', 'ERR_IP_BLOCKED']);
  });

  it('knows for which invocation it works', async () => {
    await world.run(
      `
      const socket = require('node:net').connect(${port('echo')}, 'upstream.test', () => { console.log('connected'); socket.write('x'); });
      await new Promise((done) => socket.on('data', () => { console.log('data'); done(); }));
      socket.destroy();
      return {};`,
      { key: 'context' },
    );
    await eventually(() => {
      const lines = world.logs.filter(({ fn }) => (fn as string) === 'context');
      expect(lines.map(({ text, invocation }) => [text, invocation])).toEqual([
        ['connected', 'i1'],
        ['data', 'i1'],
      ]);
    });
  });
});

describe('http and fetch', () => {
  it('send and receive', async () => {
    const url = `http://upstream.test:${port('http')}`;
    const seen = await world.run<Record<string, unknown>>(`
      const http = require('node:http');
      ${COLLECT}
      const got = (url, options = {}) => new Promise((done, fail) => http.request(url, options, async (response) => done(await collect(response))).on('error', fail).end(options.body));
      const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
      return {
        text: await (await fetch('${url}/a?b')).text(),
        big: (await (await fetch('${url}/big')).arrayBuffer()).byteLength,
        posted: await (await fetch('${url}/post', { method: 'POST', body: new Uint8Array(3e6) })).text(),
        plain: await got('${url}/plain'),
        reused: await Promise.all([1, 2, 3, 4, 5].map((n) => got('${url}/' + n, { agent, method: 'PUT', body: 'x'.repeat(n) }))),
        sockets: Object.values(agent.freeSockets).flat().length,
      };`);
    const host = `upstream.test:${port('http')}`;
    expect(seen).toEqual({
      text: `GET /a?b 0 ${host}`,
      big: 5_000_000,
      posted: `POST /post 3000000 ${host}`,
      plain: `GET /plain 0 ${host}`,
      reused: [1, 2, 3, 4, 5].map((n) => `PUT /${n} ${n} ${host}`),
      sockets: 2,
    });
  });

  it('23: a redirect to a private address is refused, and says why', async () => {
    const seen = await world.run<{ message: string; code: string }>(`
      return fetch('http://upstream.test:${port('http')}/redirect').then(() => ({}), ({ cause: { message, code } }) => ({ message, code }));`);
    expect(seen).toEqual({
      code: 'EACCES',
      message: 'connect EACCES metadata.test:80: it is a link-local address',
    });
  });
});

describe('tls', () => {
  const CA = `const ca = ${JSON.stringify(cert)};`;

  it('checks certificates by name, and agrees on a protocol', async () => {
    const seen = await world.run<Record<string, unknown>>(`
      const tls = require('node:tls');
      ${CA}
      const socket = tls.connect({ port: ${port('tls')}, host: 'secure.test', servername: 'a.secure.test', ca, ALPNProtocols: ['berth'] });
      await new Promise((done, fail) => socket.once('secureConnect', done).once('error', fail));
      let text = ''; socket.on('data', (chunk) => (text += chunk)); socket.write('hello');
      while (!text.includes('hello')) await new Promise((done) => setTimeout(done, 5));
      const { authorized, alpnProtocol, encrypted } = socket;
      const subject = socket.getPeerCertificate().subject.CN;
      socket.end();
      const untrusted = await new Promise((done) => tls.connect({ port: ${port('tls')}, host: 'secure.test' }).once('error', ({ code }) => done(code)));
      const wrong = await new Promise((done) => tls.connect({ port: ${port('tls')}, host: 'upstream.test', ca }).once('error', ({ code }) => done(code)));
      return { text, authorized, alpnProtocol, encrypted, subject, untrusted, wrong };`);
    expect(seen).toEqual({
      text: 'berth a.secure.test hello',
      authorized: true,
      alpnProtocol: 'berth',
      encrypted: true,
      subject: 'secure.test',
      untrusted: 'DEPTH_ZERO_SELF_SIGNED_CERT',
      wrong: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });

  it('can be put over a socket that is open already, as STARTTLS does', async () => {
    const text = await world.run<string>(`
      const plain = require('node:net').connect(${port('tls')}, 'secure.test');
      await new Promise((done) => plain.once('connect', done));
      ${CA}
      const socket = require('node:tls').connect({ socket: plain, servername: 'secure.test', ca }, () => socket.write('z'.repeat(300_000)));
      let text = ''; socket.on('data', (chunk) => (text += chunk));
      while (text.length < 300_000) await new Promise((done) => setTimeout(done, 5));
      socket.destroy();
      return text.slice(0, 20);`);
    expect(text).toMatch(/^false secure\.test z/);
  });

  it('is cut off where the connection is', async () => {
    const seen = await world.run<unknown>(`
      const tls = require('node:tls');
      const failure = (options) => new Promise((done) => tls.connect({ port: ${port('reset')}, host: 'secure.test', ...options }).once('error', ({ code }) => done(code)));
      const plain = require('node:net').connect(${port('reset')}, 'secure.test');
      await new Promise((done) => plain.once('connect', done));
      return [await failure({}), await failure({ socket: plain })];`);
    expect(seen).toEqual(['ECONNRESET', 'ECONNRESET']);
  });

  it('carries https, http2 and fetch', async () => {
    const seen = await world.run<Record<string, unknown>>(`
      ${CA} ${COLLECT}
      const url = 'https://secure.test:${port('http2')}';
      const https = await new Promise((done, fail) => require('node:https').get(url + '/s', { ca }, async (response) => done(await collect(response))).on('error', fail));
      const session = require('node:http2').connect(url, { ca });
      const ask = (path) => collect(session.request({ ':path': path }).setEncoding('utf8'));
      const http2 = await Promise.all([ask('/1'), ask('/2'), ask('/3')]);
      const peer = session.socket.remoteAddress;
      await new Promise((done) => session.close(done));
      process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
      const fetched = await (await fetch(url + '/f')).text();
      return { https, http2, peer, fetched };`);
    expect(seen).toEqual({
      https: '1.1 /s',
      http2: ['2.0 /1', '2.0 /2', '2.0 /3'],
      peer: '127.0.0.1',
      fetched: '1.1 /f',
    });
  });
});
