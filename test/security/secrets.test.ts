/** Hostile code, case 37: a secret is seen by its own function, and by nobody and nothing else. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { eventually } from '../support/platform.ts';
import { Arena } from './arena.ts';

const arena = Arena.prepare();
const OLD = 'old-secret-b6f1c1d2e3f4';
const NEW = 'new-secret-a7e2d3c4b5f6';
const path = '/v1/tenants/victim/functions/keeper';
const source = `
  console.log('loaded');
  module.exports = (ctx, cb) => {
    if (ctx.query.fail) throw new Error('failed on purpose');
    cb(null, { secret: ctx.secrets.KEY ?? null, env: process.env.KEY ?? null });
  };`;

/** Everything that the platform keeps: each file of its data folder, as bytes. */
function keptBytes(): string {
  return readdirSync(arena.platform.dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'node')
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    .join('\n');
}

async function shownEverywhere(): Promise<string> {
  const { platform } = arena;
  const answers = [
    await platform.api('GET', '/v1/tenants/victim'),
    await platform.api('GET', path),
    await platform.api('GET', `${path}/secrets`),
    await platform.api('GET', `${path}/revisions`),
    await platform.api('GET', '/v1/tenants/victim/functions'),
    await platform.api('GET', '/v1/tenants/victim/logs?limit=500'),
    await platform.api('GET', '/metrics'),
    await platform.api('PUT', `${path}/secrets/KEY?nonsense=1`, { value: OLD, nonsense: NEW }),
    await platform.api('PUT', path, { source: 'not { javascript', secrets: { KEY: OLD } }),
    await platform.api('PUT', `${path}/secrets/bad%20name`, { value: OLD }),
  ];
  return JSON.stringify(answers) + platform.output;
}

it('37: it is in no log, error, list or file, and in no other function', async () => {
  const { platform } = arena;
  await platform.deploy('victim', 'keeper', source, { secrets: { KEY: OLD } });
  expect(await (await platform.call('victim', 'keeper')).json()).toEqual({ secret: OLD, env: null });
  expect(await (await platform.call('victim', 'keeper', { path: '?fail=1' })).text()).not.toContain(OLD);
  expect(await shownEverywhere()).not.toMatch(/old-secret|new-secret/);
  expect(keptBytes()).not.toMatch(/old-secret|new-secret/);
  const spy = `
    const fs = require('fs');
    module.exports = (ctx, cb) => cb(null, JSON.stringify([ctx.secrets, process.env, fs.readdirSync('/proc').filter((n) => /^[0-9]+$/.test(n)).map((n) => { try { return fs.readFileSync('/proc/' + n + '/environ', 'latin1'); } catch { return ''; } })]));`;
  await platform.deploy('victim', 'spy', spy);
  expect(await (await platform.call('victim', 'spy')).text()).not.toContain(OLD);
  expect(JSON.stringify(await arena.result(spy))).not.toContain(OLD);
  for (const name of ['spy', 'keeper']) await platform.must('DELETE', `/v1/tenants/victim/functions/${name}`);
});

it('37: after rotation nothing answers with the old value any more, after deletion with none', async () => {
  const { platform } = arena;
  const seen = async (): Promise<unknown> =>
    ((await (await platform.call('victim', 'keeper')).json()) as { secret: unknown }).secret;
  await platform.deploy('victim', 'keeper', source, { secrets: { KEY: OLD } });
  expect(await seen()).toBe(OLD);
  await platform.must('PUT', `${path}/secrets/KEY`, { value: NEW });
  for (let call = 0; call < 20; call++) expect(await seen()).toBe(NEW);
  // Sandboxes that have seen the old value are gone, too.
  await eventually(async () => expect(await platform.metric('berth_sandboxes{state="claimed"}')).toBe(2));
  await platform.must('DELETE', `${path}/secrets/KEY`);
  for (let call = 0; call < 20; call++) expect(await seen()).toBeNull();
  await platform.must('DELETE', path);
  await platform.deploy('victim', 'keeper', source);
  expect(await seen()).toBeNull();
  await platform.must('DELETE', path);
});
