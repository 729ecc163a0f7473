/** Bytecode as a sandbox takes it: with it or without it, the code does the same. */
import { afterAll, afterEach, beforeEach, expect, it } from 'vitest';
import { nodeFlags } from '../../src/kernel/node-flags.ts';
import { BytecodeMaker } from '../../src/modules/bytecode-maker.ts';
import { RuntimePeer } from './runtime-peer.ts';

const maker = new BytecodeMaker();
let peer: RuntimePeer;

beforeEach(async () => {
  peer = await RuntimePeer.start(nodeFlags(96));
});
afterEach(async () => {
  const { violations } = peer;
  await peer.stop();
  expect(violations).toEqual([]);
});
afterAll(() => maker.close());

const code = `const where = () => new Error('here').stack;
module.exports = async (ctx) => {
  const { sep } = await import('node:path');
  return { sep, file: __filename, stack: where() };
};`;

async function bytecodeOf(text: string): Promise<Uint8Array> {
  return (await maker.make('acme', Buffer.from(text)))!.bytes;
}

async function answer(): Promise<unknown> {
  return JSON.parse((await peer.call()).body);
}

const expected = {
  sep: '/',
  file: '/fn/hello.js',
  stack: expect.stringMatching(/hello\.js:1:21[^]*hello\.js:4:\d+/),
};

it('is taken, and stack traces show the lines of the code', async () => {
  const loaded = await peer.load(code, {}, null, await bytecodeOf(code));
  expect(loaded).toEqual({ ok: true, form: 'context', bytecode: 'taken' });
  expect(await answer()).toEqual(expected);
});

it('that is another code’s is refused, and the code is compiled', async () => {
  const loaded = await peer.load(code, {}, null, await bytecodeOf(`${code}//`));
  expect(loaded).toEqual({ ok: true, form: 'context', bytecode: 'refused' });
  expect(await answer()).toEqual(expected);
});

it('that is another Node’s is refused, and the code is compiled', async () => {
  const bytecode = await bytecodeOf(code);
  // V8's version has its hash in the second word.
  bytecode[4]! ^= 1;
  expect(await peer.load(code, {}, null, bytecode)).toMatchObject({ ok: true, bytecode: 'refused' });
  expect(await answer()).toEqual(expected);
});

it('that is no bytecode is refused, and the code is compiled', async () => {
  const loaded = await peer.load(code, {}, null, Buffer.from('no bytecode'));
  expect(loaded).toMatchObject({ ok: true, bytecode: 'refused' });
  expect(await answer()).toEqual(expected);
});

it('is taken when a request was cancelled before there was code: the flags are still those of the start', async () => {
  const bytecode = await bytecodeOf(code);
  peer.exercise(true);
  const loaded = peer.load(code, {}, null, bytecode);
  peer.open().cancel();
  expect(await loaded).toMatchObject({ ok: true, bytecode: 'taken' });
});

it('of the start is refused after the first invocation: another flag is in force, that for no pretenuring (ADR 11)', async () => {
  // V8 refuses bytecode that was made under other flags. Of the text it minds the length, and what it has compiled it asks for nothing.
  const flags = `const vm = require('node:vm');
    const cachedData = new vm.Script('1 + 0').createCachedData();
    let calls = 0;
    module.exports = async (ctx) => ({ refused: new vm.Script('1 + ' + ++calls, { cachedData }).cachedDataRejected });`;
  await peer.load(flags);
  expect([await answer(), await answer(), await answer()]).toEqual([
    { refused: false },
    { refused: true },
    { refused: true },
  ]);
});
