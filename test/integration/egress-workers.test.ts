/** Worker threads of tenants' code reach the broker as the main thread does, without a word in that code. */
import { createServer as createHttp } from 'node:http';
import { type AddressInfo, createServer as createNet, type Server, type Socket } from 'node:net';
import { createServer as createTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { eventually } from '../support/platform.ts';
import { type EgressWorld, LOOPBACK, openEgressWorld } from './egress-world.ts';

const { key, cert } = makeCertificate(['secure.test']);
const sockets = new Set<Socket>();
const seenPaths: string[] = [];
let world: EgressWorld;
const servers = {
  http: createHttp((request, response) => {
    let size = 0;
    request.on('data', (chunk: Buffer) => (size += chunk.length));
    seenPaths.push(request.url ?? '');
    request.on('end', () => response.end(`${request.method} ${request.url} ${size}`));
  }),
  echo: createNet({ allowHalfOpen: true }, (socket) => socket.pipe(socket)),
  big: createNet((socket) => socket.end(Buffer.alloc(5_000_000, 'x'))),
  tls: createTls({ key, cert }, (socket) => socket.pipe(socket)),
} satisfies Record<string, Server>;
const portOf = (name: keyof typeof servers): number => (servers[name].address() as AddressInfo).port;

beforeAll(async () => {
  world = await openEgressWorld();
  for (const server of Object.values(servers) as Server[]) {
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  }
  for (const name of ['upstream.test', 'secure.test']) world.names.set(name, ['127.0.0.1']);
  world.names.set('inner.test', ['10.0.0.1']);
  world.records.set('TXT text.test', [['one', 'two']]);
});
afterEach(async () => {
  world.policy = LOOPBACK;
  world.limits = {};
  await eventually(() => expect(world.broker.open).toBe(0));
});
afterAll(async () => {
  await world.close();
  for (const server of Object.values(servers) as Server[]) server.close();
});

/** Makes a worker of code, in a function. `say` in it answers, once. */
const WORKER = `
  const { Worker } = require('node:worker_threads');
  const settled = (worker) => new Promise((done, fail) => worker.once('message', done).once('error', fail).once('exit', (code) => fail(new Error('exit ' + code))));
  const inWorker = (code, options) => settled(new Worker('const say = (value) => require("node:worker_threads").parentPort.postMessage(value);' + code, { eval: true, ...options }));`;

/** Runs the body of an async function in a worker of a function. @returns what it gives */
function inWorker<T>(body: string): Promise<T> {
  const code = `(async () => { ${body} })().then(say);`;
  return world
    .run<T>(`${WORKER} return { seen: await inWorker(${JSON.stringify(code)}) };`)
    .then((answer) => (answer as { seen: T }).seen);
}

const COLLECT =
  'const collect = async (stream) => { let text = ""; for await (const chunk of stream) text += chunk; return text; };';

describe('in a worker', () => {
  it('fetch, http and net by name, and large bodies both ways', async () => {
    const url = `http://upstream.test:${portOf('http')}`;
    const seen = await inWorker<Record<string, unknown>>(`${COLLECT}
      const net = require('node:net');
      const http = await import('node:http');
      const fetched = await (await fetch('${url}/f', { method: 'POST', body: 'x'.repeat(1_000_000) })).text();
      const got = await new Promise((done) => http.get('${url}/g', (response) => done(collect(response))));
      const socket = net.connect({ port: ${portOf('echo')}, host: 'upstream.test' }, () => socket.end('hello'));
      const echoed = await collect(socket);
      const big = (await collect(net.connect(${portOf('big')}, 'upstream.test'))).length;
      return { fetched, got, echoed, big };`);
    expect(seen).toEqual({
      fetched: 'POST /f 1000000',
      got: 'GET /g 0',
      echoed: 'hello',
      big: 5_000_000,
    });
  });

  it('tls', async () => {
    const seen = await inWorker<string>(`${COLLECT}
      const socket = require('node:tls').connect({ port: ${portOf('tls')}, host: 'secure.test', ca: ${JSON.stringify(cert)} }, () => socket.end('safe'));
      return await collect(socket) + ' ' + socket.authorized;`);
    expect(seen).toBe('safe true');
  });

  it('look-ups, of addresses and of records', async () => {
    const seen = await inWorker<unknown>(`
      const dns = require('node:dns');
      return Promise.all([
        dns.promises.lookup('upstream.test').then(({ address }) => address),
        dns.promises.resolveTxt('text.test'),
        new Promise((done) => dns.lookup('gone.test', (error) => done(error.code))),
      ]);`);
    expect(seen).toEqual(['127.0.0.1', [['one', 'two']], 'ENOTFOUND']);
  });

  it('a refusal is an EACCES with its reason, for sockets, fetch and look-ups', async () => {
    const seen = await inWorker<unknown>(`
      const failure = (promise) => promise.then(() => 'done', (error) => [(error.cause ?? error).code, (error.cause ?? error).message]);
      const socket = require('node:net').connect(80, '169.254.169.254');
      return [
        await failure(require('node:events').once(socket, 'connect')),
        await failure(fetch('http://inner.test/')),
        await failure(require('node:dns').promises.lookup('inner.test')),
      ];`);
    expect(seen).toEqual([
      ['EACCES', 'connect EACCES 169.254.169.254:80: it is a link-local address'],
      ['EACCES', 'connect EACCES inner.test:80: it is a private address'],
      ['EACCES', 'getaddrinfo EACCES inner.test: it is a private address'],
    ]);
  });

  it('its own workers and children have the same', async () => {
    const child = `fetch('http://upstream.test:${portOf('http')}/child').then((r) => r.text()).then(console.log)`;
    const seen = await inWorker<unknown>(`
      const inner = 'fetch("http://upstream.test:${portOf('http')}/inner").then((r) => r.text()).then((text) => require("node:worker_threads").parentPort.postMessage(text))';
      const { Worker } = require('node:worker_threads');
      const deep = await new Promise((done, fail) => new Worker(inner, { eval: true }).once('message', done).once('error', fail));
      const { execFile } = require('node:child_process');
      const child = await new Promise((done, fail) => execFile(process.execPath, ['-e', ${JSON.stringify(child)}], (error, out) => error ? fail(error) : done(out.trim())));
      return [deep, child];`);
    expect(seen).toEqual(['GET /inner 0', 'GET /child 0']);
  });

  it('what its code throws when it hears something is its own error', async () => {
    const seen = await world.run<string>(`${WORKER}
      return inWorker('require("node:net").connect(${portOf('echo')}, "upstream.test", () => { throw new Error("mine"); })').catch(({ message }) => [message]);`);
    expect(seen).toEqual(['mine']);
  });
});

describe('the tenant’s limits count workers too', () => {
  it('connections: the one too many is an EMFILE, and a thread that ends gives its own back', async () => {
    world.limits = { egressConnections: 3 };
    const code = `
      const sockets = [1, 2, 3, 4].map(() => require('node:net').connect(${portOf('echo')}, 'upstream.test'));
      Promise.all(sockets.map((socket) => new Promise((done) => socket.on('connect', () => done('open')).on('error', ({ code }) => done(code))))).then(say);`;
    const seen = await world.run<unknown>(`${WORKER}
      const worker = new Worker('const say = (value) => require("node:worker_threads").parentPort.postMessage(value);' + ${JSON.stringify(code)}, { eval: true });
      const first = await settled(worker);
      const full = await new Promise((done) => require('node:net').connect(${portOf('echo')}, 'upstream.test').on('error', ({ code }) => done(code)));
      await worker.terminate();
      const again = await new Promise((done) => {
        const attempt = () => { const socket = require('node:net').connect(${portOf('echo')}, 'upstream.test').on('error', () => setTimeout(attempt, 10)).on('connect', () => { socket.destroy(); done('open'); }); };
        attempt();
      });
      return { first: first.sort(), full, again };`);
    expect(seen).toEqual({ first: ['EMFILE', 'open', 'open', 'open'], full: 'EMFILE', again: 'open' });
    await eventually(() => expect(sockets.size).toBe(0));
  });
});

describe('a worker lives as long as in Node', () => {
  it('while a connection is open, and no longer: not for one that is unreferenced or kept for later', async () => {
    const seen = await world.run<unknown>(`${WORKER}
      const lived = (code) => new Promise((done, fail) => new Worker(code, { eval: true }).once('error', fail).once('exit', done));
      const codes = await Promise.all([
        lived('const { Agent, get } = require("node:http"); get({ port: ${portOf('http')}, host: "upstream.test", agent: new Agent({ keepAlive: true }) }, (response) => response.resume().on("end", () => process.exitCode = 7))'),
        lived('fetch("http://upstream.test:${portOf('http')}/").then((response) => response.text()).then(() => process.exitCode = 8)'),
        lived('require("node:net").connect(${portOf('echo')}, "upstream.test").unref(); process.exitCode = 9'),
        lived('require("node:dns").lookup("upstream.test", () => process.exitCode = 10)'),
      ]);
      return codes;`);
    expect(seen).toEqual([7, 8, 9, 10]);
  });
});

describe('libraries that use workers', () => {
  const modules = `require('node:module').createRequire(${JSON.stringify(import.meta.url)})`;

  it('a transport of pino sends what is logged', async () => {
    const transport = `import { once } from 'node:events'; import { Writable } from 'node:stream';
      export default () => new Writable({ write: (chunk, _, done) => void fetch('http://upstream.test:${portOf('http')}/logs', { method: 'POST', body: chunk }).then((response) => response.text()).then(() => done(), done) });`;
    const before = seenPaths.length;
    await world.run(`
      const pino = ${modules}('pino');
      const target = process.env.TMPDIR + '/transport.mjs';
      require('node:fs').writeFileSync(target, ${JSON.stringify(transport)});
      const stream = pino.transport({ target });
      pino(stream).info('to the collector');
      return {};`);
    await eventually(() => expect(seenPaths.slice(before)).toEqual(['/logs']));
  });

  it('the package undici, in a worker', async () => {
    const seen = await inWorker<string>(`
      const { request, Agent } = ${modules}('undici');
      const dispatcher = new Agent();
      const { body } = await request('http://upstream.test:${portOf('http')}/undici', { dispatcher });
      const text = await body.text();
      await dispatcher.close();
      return text;`);
    expect(seen).toBe('GET /undici 0');
  });
});

describe('nothing else of workers is changed', () => {
  it('their data, ports, arguments and environment; subclasses, refusals, and code of every kind', async () => {
    const tell = `const t = require('node:worker_threads'); t.parentPort.postMessage([t.workerData, process.execArgv, process.argv.slice(2), process.env.A ?? null, t.isMainThread]);`;
    const seen = await world.run<unknown>(`${WORKER}
      const { writeFileSync } = require('node:fs');
      const threads = require('node:worker_threads');
      const code = ${JSON.stringify(tell)};
      const file = process.env.TMPDIR + '/worker.mjs';
      writeFileSync(file, 'import { parentPort, workerData } from "node:worker_threads"; parentPort.postMessage(["file", workerData, (await import("node:worker_threads")).workerData]);');
      class Mine extends threads.Worker { constructor(code) { super(code, { eval: true, workerData: 'sub' }); } }
      const mine = new Mine(code);
      const ofMine = settled(mine);
      const { port1, port2 } = new threads.MessageChannel();
      const sent = new Promise((done) => port1.once('message', done));
      const channel = new Worker('require("node:worker_threads").workerData.port.postMessage("by port")', { eval: true, workerData: { port: port2 }, transferList: [port2] });
      const failure = (action) => { try { return typeof action(); } catch ({ code, name }) { return code ?? name; } };
      return {
        plain: await settled(new Worker(code, { eval: true })),
        full: await settled(new Worker(code, { eval: true, workerData: { a: 1 }, execArgv: ['--no-warnings'], argv: ['x'], env: { A: 'b' } })),
        file: await settled(new Worker(file, { workerData: 2 })),
        url: await settled(new Worker(new URL('data:text/javascript,' + encodeURIComponent('import { parentPort, workerData } from "node:worker_threads"; parentPort.postMessage(workerData)')), { workerData: 3 })),
        mine: [await ofMine, mine instanceof Mine, mine instanceof threads.Worker],
        sent: await sent,
        name: threads.Worker.name,
        imported: (await import('node:worker_threads')).Worker === threads.Worker,
        refused: [failure(() => new Worker('', null)), failure(() => new Worker('x.js')), failure(() => new Worker('', { eval: true, workerData: () => 1 })), failure(() => new Worker('', { eval: true, execArgv: ['--nonsense'] }))],
      };`);
    expect(seen).toEqual({
      plain: [null, [], [], null, false],
      full: [{ a: 1 }, ['--no-warnings'], ['x'], 'b', false],
      file: ['file', 2, 2],
      url: 3,
      mine: [['sub', [], [], null, false], true, true],
      sent: 'by port',
      name: 'Worker',
      imported: true,
      refused: ['TypeError', 'ERR_WORKER_PATH', 25, 'ERR_WORKER_INVALID_EXEC_ARGV'],
    });
  });
});
