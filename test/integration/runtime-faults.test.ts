import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { LogLevel } from '../../src/contracts/frames.ts';
import { bundleFixture } from './bundle-fixture.ts';
import { deploy, json, start } from './runtime-deploy.ts';
import { SignFolder } from './sign-folder.ts';

/** Many times what a pong takes. */
const PONG_MS = 200;
const esm = { moduleKind: 'esm', evaluate: 'module', filename: 'hello.mjs' } as const;

describe('what is logged', () => {
  it('by console comes as Node formats it, by level, for its invocation', async () => {
    const peer = await deploy(
      `console.log('at load');
      module.exports = async (ctx) => {
        console.log('a %s', 'b', { c: [1, 2] });
        console.debug('debug'); console.info('info'); console.warn('warn'); console.error(new Error('shown').message);
        console.group('outer'); console.log('two\\nlines'); console.groupEnd();
        console.table([{ x: 1 }]);
        console.assert(false, 'asserted');
        await null;
        setTimeout(() => console.log('in a timer'), 1);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }`,
      'context',
    );
    const answer = await peer.call();
    expect(peer.logs[0]).toEqual({ level: LogLevel.info, stream: 0, text: 'at load' });
    const rest = peer.logs.slice(1);
    expect(rest.every(({ stream }) => stream === answer.stream)).toBe(true);
    expect(rest.map(({ level, text }) => [level, text])).toEqual([
      [LogLevel.info, 'a b { c: [ 1, 2 ] }'],
      [LogLevel.debug, 'debug'],
      [LogLevel.info, 'info'],
      [LogLevel.warn, 'warn'],
      [LogLevel.error, 'shown'],
      [LogLevel.info, 'outer'],
      [LogLevel.info, '  two\n  lines'],
      [LogLevel.info, '┌─────────┬───┐\n│ (index) │ x │\n├─────────┼───┤\n│ 0       │ 1 │\n└─────────┴───┘'],
      [LogLevel.warn, 'Assertion failed: asserted'],
      [LogLevel.info, 'in a timer'],
    ]);
  });

  it('by pino, which writes past the streams where it can, is there too', async () => {
    const { code, sourceMap } = await bundleFixture('pino-log.js');
    const peer = await start();
    await peer.load(code, { filename: 'index.js' }, sourceMap);
    const answer = await peer.call({ url: '/?n=7' });
    expect(peer.logs.map(({ level, stream }) => [level, stream])).toEqual([[LogLevel.info, answer.stream]]);
    expect(JSON.parse(peer.logs[0]!.text)).toMatchObject({ level: 30, n: 7, msg: 'by pino' });
  });

  it('by the streams is cut into lines', async () => {
    const peer = await deploy(
      `module.exports = async (ctx) => {
        process.stdout.write('one\\ntw'); process.stdout.write('o\\n'); process.stderr.write('three\\n');
        process.stdout.write(Buffer.from('four\\n')); process.stdout.write('NQ==', 'base64'); process.stdout.write('\\n');
        require('stream').Readable.from(['pip', 'ed\\n']).pipe(process.stdout);
        await new Promise((resolve) => setTimeout(resolve, 20));
        process.stdout.write('no end');
      }`,
      'context',
    );
    await peer.call();
    await peer.call({ url: '/second' });
    expect(peer.logs.slice(0, 7).map(({ level, text }) => `${level} ${text}`)).toEqual([
      '30 one',
      '30 two',
      '50 three',
      '30 four',
      '30 5',
      '30 piped',
      '30 no end',
    ]);
    expect(peer.logs[6]!.stream).toBe(1);
    expect(peer.logs[7]!.stream).toBe(2);
  });

  it('is limited in length and volume, and says what was dropped', async () => {
    const peer = await deploy(
      "module.exports = async (ctx) => { console.log('ü'.repeat(100_000)); for (let i = 0; i < 100_000; i++) console.log('flood ' + i) }",
      'context',
    );
    await peer.call();
    await peer.until(() => peer.dropped > 0, 'the count of what was dropped');
    expect(Buffer.byteLength(peer.logs[0]!.text)).toBeLessThanOrEqual(8_192);
    expect(peer.logs[0]!.text).toMatch(/^ü+$/);
    const bytes = peer.logs.reduce((sum, { text }) => sum + Math.max(64, text.length), 0);
    expect(bytes).toBeLessThan(1_000_000);
    await peer.until(() => peer.dropped + peer.logs.length >= 100_001, 'all lines to be accounted for');
    expect(peer.dropped + peer.logs.length).toBe(100_001);
  });
});

describe('an error shows the lines of the tenant', () => {
  it.each([
    ['module.exports = async (ctx) => {\n  const a = null;\n  return a.b;\n}', 'hello.js', 'hello.js:3:12'],
    ['module.exports = async (ctx) => ctx.a.b.c', 'first-line.js', 'first-line.js:1:39'],
    ['export default async (ctx) => {\n\n  throw new Error("x");\n}', 'hello.mjs', 'hello.mjs:3:9'],
    [
      'interface A { b: string }\n\nexport default async (ctx: A) => {\n  throw new Error(ctx.b as string);\n}',
      'hello.ts',
      'hello.ts:4:9',
    ],
    [
      'enum A { B = "b" }\n\nexport default async (ctx: { b: A }) => {\n  throw new Error(A.B + ctx.b);\n}',
      'hello.ts',
      'hello.ts:4:9',
    ],
  ])('%s', async (text, filename, place) => {
    const peer = await deploy(text, 'context', { filename });
    const { failure } = await peer.call();
    expect(failure?.code).toBe('FUNCTION_FAILED');
    expect(failure?.stack).toContain(place);
    expect(failure?.stack).not.toMatch(/runtime-|node:internal|berth-peer/);
  });

  it('through the source map of a bundle', async () => {
    const { code, sourceMap } = await bundleFixture('bundled-entry.ts');
    const peer = await start();
    await peer.load(code, { moduleKind: 'esm', filename: 'index.js' }, sourceMap);
    expect((await peer.call()).body).toBe('bundled');
    const { failure } = await peer.call({ url: '/fail' });
    expect(failure?.reason).toBe('Error: failed in the library');
    expect(failure?.stack).toContain('bundled-lib.ts:7:9');
    expect(failure?.stack).toContain('bundled-entry.ts:4:38');
  });
});

describe('code that does not load', () => {
  it.each([
    ['require("lodash")', 'LOAD_FAILED', "Cannot find module 'lodash'"],
    ['require("./lib")', 'LOAD_FAILED', 'deploy the folder'],
    ['require("lodash@4.17.0")', 'LOAD_FAILED', 'Modules by version'],
    ['throw new TypeError("at load")', 'LOAD_FAILED', 'TypeError: at load'],
    ['throw null', 'LOAD_FAILED', 'null'],
    ['module.exports = class A {}', 'FORM_UNKNOWN', 'a class'],
    ['module.exports = 5', 'FORM_UNKNOWN', 'Supplied code must return or export a function.'],
    ['module.exports = { a: 1 }', 'FORM_UNKNOWN', 'Supplied code must return or export a function.'],
  ])('says so: %s', async (code, expected, reason) => {
    const peer = await start();
    const loaded = await peer.load(code);
    expect(loaded).toMatchObject({ ok: false, code: expected });
    expect(JSON.stringify(loaded)).toContain(reason);
    if (code.startsWith('throw new'))
      expect(loaded).toMatchObject({ stack: expect.stringContaining('hello.js:1:7') });
  });

  it.each([
    ['import _ from "lodash"; export default () => _', "Cannot find module 'lodash'"],
    ['import _ from "./lib.js"; export default () => _', 'deploy the folder'],
    [
      'import { nothing } from "node:fs"; export default () => nothing',
      "does not provide an export named 'nothing'",
    ],
    ['await Promise.reject(new Error("at load")); export default () => 1', 'Error: at load'],
  ])('says so as an ES module: %s', async (code, reason) => {
    const peer = await start();
    const loaded = await peer.load(code, esm);
    expect(loaded).toMatchObject({ ok: false, code: 'LOAD_FAILED' });
    expect(JSON.stringify(loaded)).toContain(reason);
    expect(JSON.stringify(loaded)).not.toMatch(/runtime-|berth-peer/);
  });

  it('exports nothing, and has nothing that listens after a while', async () => {
    const peer = await start();
    expect(await peer.load('require("http")')).toMatchObject({ ok: false, code: 'FORM_UNKNOWN' });
  });
});

it.each([
  ['fs', {}],
  ['node:fs', {}],
])('modules of Node are there as %s', async (name) => {
  const code = `const fs = require("${name}"); module.exports = async (ctx) => ({ a: typeof fs.readFile, b: typeof (await import("${name}")).readFile, c: require.resolve("${name}"), d: __filename, e: __dirname, f: require.main === module })`;
  const peer = await deploy(code, 'context');
  expect(json(await peer.call())).toEqual({
    a: 'function',
    b: 'function',
    c: name,
    d: '/fn/hello.js',
    e: '/fn',
    f: false,
  });
});

it('an ES module knows where it lies', async () => {
  const peer = await deploy(
    'export default async (ctx) => [import.meta.url, import.meta.filename, import.meta.dirname]',
    'context',
    { filename: 'a.mjs' },
  );
  expect(json(await peer.call())).toEqual(['file:///fn/a.mjs', '/fn/a.mjs', '/fn']);
});

describe('the process', () => {
  it.each([
    ['setTimeout(() => { throw new Error("uncaught") })', 'Error: uncaught'],
    ['Promise.reject(new Error("unhandled"))', 'Error: unhandled'],
    ['process.nextTick(() => { null.x })', 'TypeError'],
    ['process.exit(3)', 'it ended its process with code 3'],
    ['req.on("data", () => { throw new Error("in a listener") })', 'Error: in a listener'],
    [
      'queueMicrotask(() => { throw { toString() { throw 1 }, get stack() { throw 2 } } })',
      'something was thrown that has no text',
    ],
  ])('says why it ends: %s', async (code, reason) => {
    const peer = await deploy(
      `module.exports = (req, res) => { console.log("last words"); ${code} }`,
      'node',
    );
    peer.open({ method: 'POST', body: 'x' });
    await peer.until(() => peer.exit !== null && peer.fatal !== null, 'Fatal and the exit');
    expect(peer.fatal).toMatchObject({ code: 'FUNCTION_CRASHED', reason: expect.stringContaining(reason) });
    expect(peer.logs.map(({ text }) => text)).toEqual(['last words']);
    expect(peer.output).toBe('');
  });

  it('goes on when the tenant takes uncaught errors on', async () => {
    const peer = await deploy(
      'process.on("uncaughtException", (e) => console.log("mine", e.message)); module.exports = async (ctx) => { setTimeout(() => { throw new Error("x") }); return 1 }',
      'context',
    );
    await peer.call();
    await peer.until(() => peer.logs.length === 1, 'the log line');
    expect([peer.logs[0]!.text, (await peer.call()).body, peer.fatal]).toEqual(['mine x', '1', null]);
  });

  it('ends when the host is gone', async () => {
    const peer = await deploy('setInterval(() => {}, 1000); module.exports = (cb) => cb()', 'webtask');
    peer.disconnect();
    await peer.until(() => peer.exit !== null, 'the exit');
    expect(peer.exit).toEqual({ code: 0, signal: null });
  });

  it('does not answer a ping while it loops', async () => {
    await using signs = await SignFolder.make();
    const [looping, enough] = [signs.path('looping'), signs.path('enough')].map((path) =>
      JSON.stringify(path),
    );
    const peer = await deploy(
      `const fs = require('fs');
      module.exports = (cb) => { fs.writeFileSync(${looping}, ''); while (!fs.existsSync(${enough})); cb(null, 1) }`,
      'webtask',
    );
    peer.ping(7);
    await peer.until(() => peer.pongs.length === 1, 'the first pong');
    const answer = peer.open();
    await signs.seen('looping');
    peer.ping(8);
    // Long enough for whatever would answer beside the loop; no longer wait can make the test fail.
    await delay(PONG_MS);
    expect(peer.pongs).toEqual([7]);
    await signs.give('enough');
    await peer.until(() => peer.pongs.length === 2, 'the second pong');
    expect([peer.pongs, answer.body]).toEqual([[7, 8], '1']);
  });
});

describe('the channel holds when a tenant', () => {
  const tamper = [
    'JSON.stringify = JSON.parse = () => { throw new Error("tampered") }',
    'globalThis.Promise = class {}',
    'Promise.prototype.then = function () { return this }',
    'globalThis.Buffer = null',
    'Buffer.from = Buffer.alloc = Buffer.allocUnsafe = () => { throw new Error("tampered") }',
    'globalThis.setImmediate = globalThis.setTimeout = () => {}',
    'process.exit = process.reallyExit = () => {}',
    'globalThis.process = undefined',
    'globalThis.fetch = globalThis.Response = globalThis.Request = undefined',
    'globalThis.Map = globalThis.Error = globalThis.AbortController = undefined',
    'require("net").Socket.prototype.write = () => { throw new Error("tampered") }',
    'require("stream").Writable.prototype.write = () => { throw new Error("tampered") }',
    'require("events").prototype.emit = () => { throw new Error("tampered") }',
    'Object.prototype.polluted = 1; Object.prototype.status = 500; Object.prototype.get = () => 1; Object.prototype.value = 2',
    'Array.prototype.polluted = () => {}',
    'Error.prepareStackTrace = () => { throw new Error("tampered") }',
    'Object.freeze(Object.prototype); Object.freeze(Array.prototype); Object.freeze(Function.prototype)',
  ];

  it.each(tamper)('does %s', async (code) => {
    const peer = await deploy(
      `${code};\nmodule.exports = (ctx, cb) => { console.log("log"); cb(null, { a: ctx.query.a }) }`,
      'webtask',
    );
    for (let count = 0; count < 3; count++) {
      const answer = await peer.call({ url: '/?a=1' });
      const isBroken = code.startsWith('JSON') ? /./ : /^\{"a":"1"/;
      expect([answer.failure, answer.status]).toEqual([null, 200]);
      expect(answer.body).toMatch(isBroken);
    }
    peer.ping(1);
    await peer.until(() => peer.pongs.length === 1, 'a pong');
  });
});
