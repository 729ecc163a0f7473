/** What a runtime does while it waits in the pool, and that functions notice nothing of it but speed. */
import { expect, it } from 'vitest';
import type { LoadSpec } from '../../src/contracts/frames.ts';
import { start } from './runtime-deploy.ts';

const module = { moduleKind: 'esm', evaluate: 'module', filename: 'hello.mjs' } as const;
const functions: readonly [form: LoadSpec['form'], code: string, spec?: Partial<LoadSpec>][] = [
  ['webtask', 'module.exports = (ctx, cb) => cb(null, ctx.query.a)'],
  ['context', 'module.exports = async (ctx) => ctx.query.a'],
  ['node', 'module.exports = (req, res) => res.end(JSON.stringify(req.url.at(-1)))'],
  ['lambda', 'exports.handler = async (event) => JSON.stringify(event.queryStringParameters.a)'],
  [
    'fetch',
    'export default (r) => new Response(JSON.stringify(new URL(r.url).searchParams.get("a")))',
    module,
  ],
];

it.each(functions)('Load in the midst of it: the form %s', async (form, code, spec = {}) => {
  const peer = await start();
  peer.exercise(true);
  expect(await peer.load(code, { form, ...spec })).toEqual({ ok: true, form });
  expect((await peer.call({ url: '/?a=1' })).body).toBe('"1"');
});

it('leaves no trace for the function: no listeners, no timers, no modules, no globals of its own', async () => {
  const code = `module.exports = async () => ({
    timers: process.getActiveResourcesInfo().filter((name) => name === 'Timeout'),
    listening: require('http').createServer().listening,
    globals: Object.keys(globalThis).filter((name) => /warm|dummy|exercise/i.test(name)),
    events: process.eventNames().map(String).sort(),
  })`;
  const answers = [];
  for (const isExercised of [false, true]) {
    const peer = await start();
    if (isExercised) peer.exercise(true);
    await peer.load(code, { form: 'context' });
    answers.push(JSON.parse((await peer.call()).body));
    await peer.stop();
  }
  expect(answers[1]).toEqual(answers[0]);
});

it('a function that takes the Fetch classes away before the runtime needed them is still called with a Request', async () => {
  const peer = await start();
  const code =
    'globalThis.Request = null; export default (r) => new Response(r.constructor.name + (globalThis.Request === null))';
  await peer.load(code, { form: 'fetch', ...module });
  expect((await peer.call()).body).toBe('Requesttrue');
});
