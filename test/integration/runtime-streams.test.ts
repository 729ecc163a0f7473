import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { FrameFlag, FrameType, INITIAL_WINDOW_BYTES } from '../../src/contracts/frames.ts';
import { type PeerInvocation, RuntimePeer } from './runtime-peer.ts';

const MiB = 1024 * 1024;
const LARGE = 200 * MiB;
/** A body that were kept would be 200. */
const GROWTH_LIMIT = 128 * MiB;
/** What can be collected is collected all the time: the peak shows what is kept, not when V8 finds the time. */
const COLLECTING = 'setInterval(gc, 100).unref();';

let peer: RuntimePeer;

afterEach(async () => {
  const { violations } = peer;
  await peer.stop();
  expect(violations).toEqual([]);
});

const esm = { moduleKind: 'esm', evaluate: 'module', filename: 'hello.mjs' } as const;

/** The largest resident size that the process has had, in bytes. */
async function peakMemory(): Promise<number> {
  const status = await readFile(`/proc/${peer.child.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) * 1024;
}

/** Sends `bytes` of body, and waits for the end. */
async function send(invocation: PeerInvocation, bytes: number): Promise<void> {
  const piece = Buffer.alloc(MiB, 'x');
  for (let sent = 0; sent < bytes; sent += piece.length) await invocation.write(piece);
  invocation.end();
  await invocation.over();
}

const producers = [
  [
    'node',
    'module.exports = (req, res) => { const piece = Buffer.alloc(65536); let left = 3200; const more = () => { while (left-- > 0) if (!res.write(piece)) return res.once("drain", more); res.end() }; more() }',
    {},
  ],
  [
    'node',
    'const { Readable, pipeline } = require("stream"); module.exports = (req, res) => pipeline(Readable.from((function* () { for (let i = 0; i < 3200; i++) yield Buffer.alloc(65536) })()), res, () => {})',
    {},
  ],
  [
    'fetch',
    'let left = 3200; export default () => new Response(new ReadableStream({ pull(c) { if (left-- > 0) c.enqueue(new Uint8Array(65536)); else c.close() } }))',
    esm,
  ],
] as const;

const echoes = [
  ['node', 'module.exports = (req, res) => req.pipe(res)', {}],
  ['webtask', 'module.exports = (ctx, req, res) => req.pipe(res)', {}],
  ['fetch', 'export default (request) => new Response(request.body)', esm],
] as const;

describe('a body of 200 MB', () => {
  it.each(producers)('leaves the %s form in constant memory: %s', async (form, code, spec) => {
    peer = await RuntimePeer.start(['--expose-gc']);
    expect(await peer.load(COLLECTING + code, spec)).toEqual({ ok: true, form });
    const before = await peakMemory();
    const answer = await peer.call();
    expect(answer.receivedBytes).toBe(LARGE);
    expect((await peakMemory()) - before).toBeLessThan(GROWTH_LIMIT);
  });

  it.each(echoes)('goes through the %s form and back: %s', async (form, code, spec) => {
    peer = await RuntimePeer.start(['--expose-gc']);
    expect(await peer.load(COLLECTING + code, spec)).toEqual({ ok: true, form });
    const before = await peakMemory();
    const answer = peer.open({ method: 'POST', isOpen: true });
    await send(answer, LARGE);
    expect([answer.failure, answer.receivedBytes]).toEqual([null, LARGE]);
    expect((await peakMemory()) - before).toBeLessThan(GROWTH_LIMIT);
  });

  it('that nobody reads is not taken in', async () => {
    peer = await RuntimePeer.start();
    await peer.load(
      'const held = []; module.exports = (req, res) => { if (req.method === "POST") held.push(res); else { res.end(); held.pop().end("never read it") } }',
    );
    const answer = peer.open({ method: 'POST', isOpen: true });
    await answer.write(Buffer.alloc(INITIAL_WINDOW_BYTES));
    await peer.call();
    await answer.over();
    expect([answer.sendCredit, answer.body]).toEqual([0, 'never read it']);
  });
});

it.each(producers)('a %s response goes no further than the credit', async (_form, code, spec) => {
  peer = await RuntimePeer.start();
  await peer.load(code, spec);
  const answer = peer.open();
  answer.isGranting = false;
  await peer.until(() => answer.receiveCredit === 0, 'the whole window');
  peer.ping(1);
  await peer.until(() => peer.pongs.length === 1, 'a pong');
  expect(answer.receivedBytes).toBe(INITIAL_WINDOW_BYTES);
  answer.grant(100_000);
  await peer.until(() => answer.receivedBytes === INITIAL_WINDOW_BYTES + 100_000, 'what was granted');
  answer.cancel();
  await answer.over();
});

it('server-sent events leave as they are written', async () => {
  peer = await RuntimePeer.start();
  await peer.load(
    'module.exports = (req, res) => { res.writeHead(200, { "content-type": "text/event-stream" }); let n = 0; const t = setInterval(() => res.write(`data: ${n++}\\n\\n`), 5); res.on("close", () => { clearInterval(t); console.log("stopped") }) }',
  );
  const answer = peer.open();
  await peer.until(() => answer.body.includes('data: 2'), 'three events');
  answer.cancel();
  await answer.over();
  await peer.until(() => peer.logs.length === 1, 'the end of the interval');
});

it.each([
  [
    'fetch',
    'export default async (request) => { await new Promise((r) => request.signal.addEventListener("abort", r)); console.log("aborted"); return new Response("late") }',
    esm,
  ],
  [
    'fetch',
    'export default (request) => new Response(new ReadableStream({ pull() { return new Promise(() => {}) }, cancel() { console.log("aborted") } }))',
    esm,
  ],
  [
    'context',
    'module.exports = async (ctx) => { await new Promise((r) => ctx.signal.addEventListener("abort", r)); console.log("aborted") }',
    {},
  ],
  [
    'context',
    'module.exports = async (ctx) => { while (!ctx.signal.aborted) await new Promise((r) => setTimeout(r, 5)); console.log("aborted") }',
    {},
  ],
] as const)('an abort reaches the %s form: %s', async (form, code, spec) => {
  peer = await RuntimePeer.start();
  expect(await peer.load(code, spec)).toEqual({ ok: true, form });
  const answer = peer.open();
  peer.ping(1);
  await peer.until(() => peer.pongs.length === 1, 'a pong');
  answer.cancel();
  await answer.over();
  await peer.until(() => peer.logs.length === 1, 'the log line');
  expect(peer.logs[0]!.text).toBe('aborted');
});

it.each([
  ['text', 'await request.text()'],
  ['a reader', 'const r = request.body.getReader(); while (!(await r.read()).done);'],
  ['an iterator', 'for await (const chunk of request.body);'],
])('who reads a body by %s hears that the rest will not come', async (_way, reading) => {
  peer = await RuntimePeer.start();
  await peer.load(
    `export default async (request) => { try { ${reading} } catch (error) { console.log(error.name) } return new Response("x") }`,
    esm,
  );
  const answer = peer.open({ method: 'POST', isOpen: true });
  await answer.write(Buffer.from('the beginning'));
  peer.ping(1);
  await peer.until(() => peer.pongs.length === 1, 'a pong');
  answer.cancel();
  await answer.over();
  await peer.until(() => peer.logs.length === 1, 'the log line');
  expect(peer.logs[0]!.text).toBe('AbortError');
});

it('who gives a body up in the midst of reading it is not disturbed by the rest', async () => {
  peer = await RuntimePeer.start();
  await peer.load(
    `export default async (request) => {
      const reader = request.body.getReader();
      await reader.read();
      const next = reader.read();
      await new Promise(setImmediate);
      await reader.cancel();
      console.log('given up', (await next).done);
      await new Promise((resolve) => request.signal.addEventListener('abort', resolve));
      return new Response('x');
    }`,
    esm,
  );
  const answer = peer.open({ method: 'POST', isOpen: true });
  await answer.write(Buffer.from('the beginning'));
  await peer.until(() => peer.logs.length === 1, 'the log line');
  expect(peer.logs[0]!.text).toBe('given up true');
  await answer.write(Buffer.from('the rest'));
  peer.ping(1);
  await peer.until(() => peer.pongs.length === 1, 'a pong');
  answer.cancel();
  await answer.over();
  // It lives: a request without a body fails by itself.
  expect((await peer.call()).failure?.code).toBe('FUNCTION_FAILED');
});

it('many invocations at once get their own answers', async () => {
  peer = await RuntimePeer.start();
  await peer.load(
    'module.exports = async (ctx) => { await new Promise((r) => setTimeout(r, Math.random() * 20)); console.log(ctx.query.n); return { n: ctx.query.n } }',
  );
  const answers = await Promise.all(Array.from({ length: 300 }, (_, n) => peer.call({ url: `/?n=${n}` })));
  expect(answers.map(({ body }) => body)).toEqual(Array.from({ length: 300 }, (_, n) => `{"n":"${n}"}`));
  const misplaced = peer.logs.filter(({ stream, text }) => text !== String(stream - 1));
  expect([peer.logs.length, misplaced]).toEqual([300, []]);
});

it('requests that follow Load at once are answered after it', async () => {
  peer = await RuntimePeer.start();
  peer.sendLoad(
    'export default () => new Response("loaded"); await new Promise((r) => setTimeout(r, 50))',
    esm,
  );
  const early = [peer.open(), peer.open({ method: 'POST', body: 'x' })];
  const cancelled = peer.open();
  cancelled.cancel();
  await Promise.all([...early, cancelled].map((one) => one.over()));
  expect(early.map(({ body }) => body)).toEqual(['loaded', 'loaded']);
  expect([cancelled.failure, cancelled.status, peer.loaded]).toEqual([null, 0, { ok: true, form: 'fetch' }]);
});

it('frames for invocations that are over are ignored', async () => {
  peer = await RuntimePeer.start();
  await peer.load('module.exports = (cb) => cb(null, 1)');
  const answer = await peer.call();
  answer.grant(10);
  answer.cancel();
  peer.writer.send(FrameType.Data, FrameFlag.End, answer.stream, Buffer.from('late'));
  expect((await peer.call()).body).toBe('1');
});
