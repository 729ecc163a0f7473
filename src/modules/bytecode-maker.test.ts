import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { platformLimits } from '../contracts/limits.ts';
import { NO_PRETENURING, nodeFlags } from '../kernel/node-flags.ts';
import { scriptText } from '../kernel/script-text.ts';
import { BytecodeMaker } from './bytecode-maker.ts';
import { bytecodeTargetFor, gainsByBytecode, ownTarget } from './bytecode-target.ts';

const maker = new BytecodeMaker();
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'berth-bytecode-'));
});
afterAll(async () => {
  await maker.close();
  await rm(dir, { recursive: true });
});

const make = async (text: string): Promise<Uint8Array | null> =>
  (await maker.make('acme', Buffer.from(text)))?.bytes ?? null;

/** Compiles the script in a fresh process, as a sandbox of any heap does. */
async function isTaken(text: string, bytecode: Uint8Array): Promise<boolean> {
  const [script, cache] = [path.join(dir, 'script'), path.join(dir, 'bytecode')];
  await writeFile(script, scriptText(Buffer.from(text)));
  await writeFile(cache, bytecode);
  const program = `
    const [text, cachedData] = process.argv.slice(1).map((file) => require('node:fs').readFileSync(file));
    const script = new (require('node:vm').Script)(text.toString(), { filename: '/fn/index.js', cachedData });
    console.log(script.cachedDataRejected);`;
  const output = execFileSync(process.execPath, [...nodeFlags(96), '-e', program, script, cache]);
  return output.toString().trim() === 'false';
}

it('bytecode is taken by a Node with another heap, for its own code alone', async () => {
  const text = '#!/usr/bin/env node\nmodule.exports = (cb) => cb(null, "\u{1f6a2}");';
  const bytecode = await make(text);
  expect(await isTaken(text, bytecode!)).toBe(true);
  expect(await isTaken(`${text} // other`, bytecode!)).toBe(false);
});

it('bytecode holds the functions that the code only calls later', async () => {
  const body = Array.from({ length: 500 }, (_, n) => `x += ${n} * x;`).join('\n');
  const bytecode = await make(`exports.later = () => () => { let x = 1; ${body} return x; }`);
  expect(bytecode!.length).toBeGreaterThan(body.length / 2);
});

it('making bytecode runs nothing of the code', async () => {
  const mark = path.join(dir, 'mark');
  const text = `process.getBuiltinModule('node:fs').writeFileSync(${JSON.stringify(mark)}, ''); process.exit(3);`;
  expect(await make(text)).not.toBeNull();
  expect(existsSync(mark)).toBe(false);
});

it.each([
  ['does not compile', 'let a; let a;'],
  ['is nested too deeply', `${'['.repeat(200_000)}${']'.repeat(200_000)}`],
])('code that %s has no bytecode, and the next one has', async (_what, text) => {
  expect(await make(text)).toBeNull();
  expect(await make('exports.a = 1;')).not.toBeNull();
});

it('bytecode beyond its limit is thrown away', async () => {
  const functions = Array.from({ length: 50_000 }, (_, n) => `exports.f${n} = () => () => () => ${n};`);
  const text = functions.join('\n');
  expect(text.length).toBeLessThan(platformLimits.bytecodeUpToBytes.value);
  expect(await make(text)).toBeNull();
});

it('under its flags Node takes the bytecode of its own modules: a sandbox starts without compiling them', () => {
  const count = `const { internalBinding } = require('internal/test/binding');
    for (const name of ['http', 'crypto', 'tls', 'worker_threads']) require(name);
    const { compiledWithCache, compiledWithoutCache } = internalBinding('builtins').getCacheUsage();
    console.log(JSON.stringify([compiledWithCache.size > 20, compiledWithoutCache.size]))`;
  const compiled = (...flags: string[]): unknown =>
    JSON.parse(execFileSync(process.execPath, [...flags, '--expose-internals', '-e', count]).toString());
  expect(compiled(...nodeFlags(96))).toEqual([true, 0]);
  expect(compiled(...nodeFlags(96), NO_PRETENURING)).toEqual([false, expect.any(Number)]);
});

it('a closed maker makes nothing', async () => {
  const closed = new BytecodeMaker();
  await closed.close();
  expect(await closed.make('acme', Buffer.from('1'))).toBeNull();
});

it('small code, modules and what is too large gain nothing', () => {
  const { bytecodeFromBytes, bytecodeUpToBytes } = platformLimits;
  const gains = (length: number, evaluate: 'script' | 'module'): boolean =>
    gainsByBytecode({ length } as Uint8Array, evaluate);
  expect(gains(bytecodeFromBytes.value - 1, 'script')).toBe(false);
  expect(gains(bytecodeFromBytes.value, 'script')).toBe(true);
  expect(gains(bytecodeFromBytes.value, 'module')).toBe(false);
  expect(gains(bytecodeUpToBytes.value + 1, 'script')).toBe(false);
});

it('the target is the Node that a sandbox of the function runs', () => {
  const versions = [process.versions.node, '22.11.0'];
  expect(bytecodeTargetFor(null, versions)).toBe(ownTarget);
  expect(bytecodeTargetFor('22.x', versions)).toBe(ownTarget.replace(process.versions.node, '22.11.0'));
  expect(bytecodeTargetFor('18.x', versions)).toBeNull();
});
