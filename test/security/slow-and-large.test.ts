/** Hostile code, cases 29 and 31: callers that are slow, and bodies that are large, deep or poisoned. */
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { eventually, type Problem } from '../support/platform.ts';
import { Arena } from './arena.ts';

const MiB = 1024 * 1024;
const arena = Arena.prepare({ wallMs: 2_000, memoryBytes: 128 * MiB, concurrency: 20 });

interface Caller {
  readonly socket: net.Socket;
  /** what came back, once the other side has closed */
  readonly answered: Promise<string>;
}

function caller(bytes: string): Caller {
  const socket = net.connect(arena.platform.port, '127.0.0.1');
  socket.write(bytes, 'latin1');
  let heard = '';
  socket.on('data', (chunk) => (heard += chunk.toString('latin1'))).on('error', () => undefined);
  return { socket, answered: new Promise((resolve) => void socket.once('close', () => resolve(heard))) };
}

/** Writes one byte now and then until the other side has had enough. */
async function drip({ socket }: Caller, everyMs: number): Promise<void> {
  while (!socket.destroyed && socket.writable) {
    socket.write('x');
    await delay(everyMs);
  }
}

const nothingInFlight = () =>
  eventually(async () => expect(await arena.platform.metric('berth_invocations_in_flight')).toBe(0), 20_000);

describe('29: slow callers', () => {
  it('heads that come byte by byte: 408 and the end of the connection; other callers are served meanwhile', async () => {
    const callers = Array.from({ length: 300 }, () =>
      caller('GET /run/attacker/hello HTTP/1.1\r\nHost: a.test\r\nX: '),
    );
    const dripping = callers.map((slow) => drip(slow, 2_000));
    await arena.serveVictim();
    for (const answer of await Promise.all(callers.map(({ answered }) => answered))) {
      expect(answer).toMatch(/^HTTP\/1\.1 408 /);
      expect(answer).toContain('"code":"REQUEST_TIMEOUT"');
    }
    await Promise.all(dripping);
  });

  it('bodies that come byte by byte: 408 names wallMs, and no place is held', async () => {
    await arena.deploy(
      'reader',
      'module.exports = (req, res) => { req.resume().on("end", () => res.end("read")).on("error", () => {}); };',
    );
    const head = 'POST /run/attacker/reader HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\n';
    const callers = Array.from({ length: 20 }, () => caller(head));
    const dripping = callers.map((slow) => drip(slow, 100));
    for (const answer of await Promise.all(callers.map(({ answered }) => answered))) {
      expect(answer).toMatch(/^HTTP\/1\.1 408 /);
      expect(answer).toContain('"code":"REQUEST_TIMEOUT"');
      expect(answer).toContain('wallMs');
    }
    await Promise.all(dripping);
    await nothingInFlight();
    await arena.logLine('reader', /wallMs/);
  });

  it('callers that never read: cut off after wallMs, and the function may stop', async () => {
    await arena.deploy(
      'endless',
      'module.exports = (req, res) => { const go = () => { while (res.write("x".repeat(65536))); }; res.on("drain", go).on("error", () => {}); go(); };',
    );
    const head = 'GET /run/attacker/endless HTTP/1.1\r\nHost: a.test\r\n\r\n';
    const callers = Array.from({ length: 10 }, () => caller(head));
    for (const { socket } of callers) socket.pause();
    await eventually(async () => expect(await arena.platform.metric('berth_invocations_in_flight')).toBe(10));
    await nothingInFlight();
    await arena.logLine('endless', /wallMs/);
    for (const { socket } of callers) socket.destroy();
  });

  it('an upload to a function that neither reads nor answers: 504 names wallMs', async () => {
    await arena.deploy('deaf', 'module.exports = (req, res) => {};');
    const { heard, sent } = await upload('deaf', 64 * MiB);
    expect(heard).toMatch(/^HTTP\/1\.1 504 [^]+"code":"TIMEOUT"/);
    expect(sent).toBeLessThan(64 * MiB);
    await arena.logLine('deaf', /wallMs/);
  });
});

/** Sends zeros until all are sent, whatever is answered meanwhile, or the other side closes. */
async function upload(fn: string, total: number): Promise<{ heard: string; sent: number }> {
  const { socket, answered } = caller(
    `POST /run/attacker/${fn} HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${total}\r\n\r\n`,
  );
  const closed = answered.then(() => false);
  const chunk = Buffer.alloc(256 * 1024);
  let sent = 0;
  const drained = () => new Promise<boolean>((resolve) => void socket.once('drain', () => resolve(true)));
  while (sent < total && !socket.destroyed) {
    sent += chunk.length;
    if (!socket.write(chunk) && !(await Promise.race([drained(), closed]))) break;
  }
  socket.end();
  return { heard: await answered, sent };
}

describe('31: bodies', () => {
  const resident = (): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${arena.platform.pid}/status`, 'utf8'))![1]) * 1024;

  it('a gigabyte for a function that ignores it fills no memory', async () => {
    await arena.deploy('ignorer', 'module.exports = (req, res) => res.end("thanks");');
    const warmUp = await upload('ignorer', 64 * MiB);
    expect(warmUp.heard).toMatch(/^HTTP\/1\.1 200 [^]+thanks$/);
    const before = resident();
    let most = 0;
    const watch = setInterval(() => (most = Math.max(most, resident())), 20);
    const { heard, sent } = await upload('ignorer', 1024 * MiB);
    expect(heard).toMatch(/^HTTP\/1\.1 200 [^]+thanks$/);
    expect(sent).toBe(1024 * MiB);
    await nothingInFlight();
    clearInterval(watch);
    expect((most - before) / MiB).toBeLessThan(128);
  });

  const deep = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
  const deepObject = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

  it.each([
    ['arrays', deep(200_000)],
    ['objects', deepObject(100_000)],
  ])(
    'JSON of deep %s: the API refuses it, a function that parses it fails alone at most',
    async (_what, body) => {
      const headers = { authorization: `Bearer ${arena.platform.token}`, 'content-type': 'application/json' };
      for (const [method, path] of [
        ['POST', '/v1/tenants'],
        ['PATCH', '/v1/tenants/attacker'],
        ['POST', '/v1/tenants/attacker/tokens'],
        ['PUT', '/v1/tenants/attacker/functions/deep'],
      ] as const) {
        const response = await fetch(arena.platform.url + path, { method, headers, body });
        // By its form, or by what its values would weigh once they are made.
        expect([400, 413], path).toContain(response.status);
        expect(['BAD_REQUEST', 'BODY_TOO_LARGE']).toContain(((await response.json()) as Problem).code);
      }
      await arena.deploy('deep', 'module.exports = (ctx, cb) => cb(null, { type: typeof ctx.body });');
      const response = await arena.platform.call('attacker', 'deep', {
        method: 'POST',
        path: '?webtask_pb=1',
        headers: { 'content-type': 'application/json' },
        body,
      });
      expect([200, 400, 413, 500, 502]).toContain(response.status);
      await response.text();
    },
  );

  it('keys such as __proto__ pollute neither the platform nor a function', async () => {
    const poisons = [
      '{"__proto__":{"polluted":true}}',
      '{"id":"x","limits":{"__proto__":{"polluted":true}}}',
      '{"id":"x","limits":{"constructor":{"prototype":{"polluted":true}}}}',
      '{"constructor":{"prototype":{"polluted":true}}}',
      '{"source":"module.exports = (cb) => cb()","env":{"__proto__":"x"}}',
    ];
    const headers = { authorization: `Bearer ${arena.platform.token}`, 'content-type': 'application/json' };
    for (const body of poisons)
      for (const [method, path] of [
        ['POST', '/v1/tenants'],
        ['PATCH', '/v1/tenants/attacker'],
        ['PUT', '/v1/tenants/attacker/functions/polluter'],
      ] as const)
        expect(
          (await fetch(arena.platform.url + path, { method, headers, body })).status,
          `${path} ${body}`,
        ).toBe(400);
    await arena.deploy(
      'polluted',
      'module.exports = (ctx, cb) => cb(null, { own: ({}).polluted ?? null, query: ctx.query.polluted ?? null, data: ctx.data.polluted ?? null, body: (ctx.body || {}).polluted ?? null });',
    );
    const queries = [
      'webtask_pb=1&webtask_mb=1',
      '__proto__[polluted]=1&__proto__.polluted=1&webtask_pb=1&webtask_mb=1',
    ];
    for (const query of queries)
      for (const body of poisons) {
        const response = await arena.platform.call('attacker', 'polluted', {
          method: 'POST',
          path: `?${query}&__proto__=polluted`,
          headers: { 'content-type': 'application/json' },
          body,
        });
        expect(await response.json()).toMatchObject({ own: null, query: null, data: null });
      }
  });
});
