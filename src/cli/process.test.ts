/** The command as a process: what only a real one can show. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakePlatform } from '../client/testing/fake-platform.ts';
import { FakeTenants } from '../client/testing/fake-tenants.ts';
import { Terminal } from './testing/terminal.ts';

const bin = fileURLToPath(new URL('../../bin/berth.mjs', import.meta.url));
let platform: FakePlatform;
let terminal: Terminal;
let children: ChildProcess[];

beforeEach(async () => {
  platform = await FakePlatform.start();
  new FakeTenants(platform).add('acme');
  terminal = new Terminal();
  children = [];
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  terminal.remove();
  await platform.close();
});

function start(...argv: string[]): ChildProcess {
  const env = {
    PATH: process.env['PATH'],
    HOME: terminal.home,
    BERTH_URL: platform.url,
    BERTH_TOKEN: platform.token,
  };
  const child = spawn(process.execPath, [bin, ...argv], { cwd: terminal.folder, env });
  children.push(child);
  return child;
}

async function ended(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

it('deploys what is piped in, and ends by itself', async () => {
  const child = start('deploy', '-', '--name', 'hello', '--tenant', 'acme');
  child.stdin?.end('module.exports = (cb) => cb()');
  const { code, stdout, stderr } = await ended(child);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain('/run/acme/hello');
});

it('gives its exit code to the shell', async () => {
  expect(await ended(start('show', 'nope', '-t', 'acme'))).toMatchObject({ code: 3, stdout: '' });
});

it('is quiet when the reader of its output has gone', async () => {
  platform.on('GET', '/run/acme/f', (_request, response) => {
    response.writeHead(200);
    const more = (): void => {
      while (!response.destroyed && response.write('x'.repeat(65_536)));
      if (!response.destroyed) response.once('drain', more);
    };
    more();
  });
  platform.on('GET', '/v1/tenants/acme/functions/f', () => ({
    tenant: 'acme',
    name: 'f',
    url: '',
    access: 'public',
    activeRevision: null,
    env: {},
    meta: {},
    createdAt: 0,
    updatedAt: 0,
  }));
  const child = start('run', 'f', '-t', 'acme');
  await once(child.stdout!, 'readable');
  child.stdout!.destroy();
  const { code, stderr } = await ended(child);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});

it('ends on Ctrl-C while it follows logs', async () => {
  platform
    .on('GET', '/v1/tenants/acme/logs', () => ({ items: [], next: null }))
    .on(
      'GET',
      '/v1/tenants/acme/logs/stream',
      (_request, response) => void response.writeHead(200).write(': open\n\n'),
    );
  const child = start('logs', '-f', '-t', 'acme');
  await once(child.stderr!, 'data');
  child.kill('SIGINT');
  expect((await ended(child)).code).toBe(130);
});
