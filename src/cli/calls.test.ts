import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakePlatform } from '../client/testing/fake-platform.ts';
import { FakeTenants } from '../client/testing/fake-tenants.ts';
import { BerthError } from '../contracts/errors.ts';
import { Terminal } from './testing/terminal.ts';

let platform: FakePlatform;
let terminal: Terminal;

beforeEach(async () => {
  platform = await FakePlatform.start();
  new FakeTenants(platform).add('acme');
  terminal = new Terminal();
  terminal.env = { BERTH_URL: platform.url, BERTH_TOKEN: platform.token, BERTH_TENANT: 'acme' };
  terminal.write({ 'f.js': 'x' });
  await terminal.run(['deploy', 'f.js']);
  await terminal.run(['deploy', 'f.js', '--name', 'guarded', '--private']);
});
afterEach(async () => {
  terminal.remove();
  await platform.close();
});

describe('run', () => {
  it('prints the answer, with the method, headers and body that are asked for', async () => {
    platform.on('POST', '/run/acme/f/a', ({ text, headers, query }, response) => {
      response.writeHead(200, { 'x-own': '1' }).end(`${text} ${headers['x-a']} ${query['q']}`);
    });
    const ran = await terminal.run(['run', 'f', '/a?q=1', '-d', 'body', '-H', 'x-a: b']);
    expect(ran).toEqual({ code: 0, stdout: 'body b 1', stderr: '' });
    const piped = await terminal.run(['run', 'f', 'a', '-i', '-d', '@-'], { stdin: 'piped' });
    expect(piped.stdout).toMatch(/^HTTP\/1\.1 200 OK\n[^]*x-own: 1\n\npiped/);
  });

  it('never shows the operator’s token to a function', async () => {
    platform
      .on('POST', '/v1/tenants/acme/tokens', () => ({ token: 'only-to-run', jti: 'j' }))
      .on('GET', '/run/acme/guarded', ({ token }) => `got ${token}`)
      .on('GET', '/run/acme/f', ({ token }) => `got ${token}`);
    expect((await terminal.run(['run', 'f'])).stdout).toBe('got null');
    expect((await terminal.run(['run', 'guarded'])).stdout).toBe('got only-to-run');
    expect(platform.seen('POST', '/v1/tenants/acme/tokens').body).toMatchObject({
      scopes: ['run'],
      fn: 'guarded',
    });
    const own = await terminal.run(['run', 'guarded', '-H', 'Authorization: Bearer mine']);
    expect(own.stdout).toBe('got mine');
  });

  it.each([
    [200, 0],
    [302, 0],
    [401, 4],
    [404, 3],
    [418, 1],
    [500, 1],
  ])('ends a function’s own %i with exit code %i, and still prints the body', async (status, code) => {
    platform.on('GET', '/run/acme/f', (_request, response) => void response.writeHead(status).end('own'));
    expect(await terminal.run(['run', 'f'])).toMatchObject({ code, stdout: 'own' });
  });

  it('tells what the platform says about the call', async () => {
    platform.on('GET', '/run/acme/f', (_request, response) => {
      const error = new BerthError('EVENT_LOOP_BLOCKED', {
        name: 'blockedMs',
        limit: 2_000,
        place: ' at f.js:1:1',
      });
      const problem = { code: error.code, detail: error.message, wayOut: error.definition.wayOut };
      response.writeHead(504, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem));
    });
    const { code, stdout, stderr } = await terminal.run(['run', 'f']);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toContain('f.js:1:1');
  });

  it('a function that is not there is exit code 3', async () => {
    expect((await terminal.run(['run', 'nope'])).code).toBe(3);
  });
});

describe('logs', () => {
  const record = (at: number, text: string, more: object = {}) => ({
    id: at,
    at,
    tenant: 'acme',
    function: 'f',
    revision: null,
    invocation: null,
    source: 'console',
    level: 'info',
    text,
    ...more,
  });

  it('are printed oldest first, without the escapes of a hostile function', async () => {
    platform.on('GET', '/v1/tenants/acme/logs', () => ({
      items: [
        record(2_000, 'two\u001b[2J', { level: 'error' }),
        record(1_000, 'one\nmore', { source: 'platform' }),
      ],
      next: null,
    }));
    const { stdout } = await terminal.run(['logs', 'f', '--since', '10m', '-n', '7']);
    expect(stdout).toBe('00:00:01.000 [platform] info  one\n    more\n00:00:02.000 error two\n');
    expect(platform.seen('GET', '/v1/tenants/acme/logs').query).toEqual({
      function: 'f',
      limit: '7',
      since: String(1_700_000_000_000 - 600_000),
    });
    const { stdout: json } = await terminal.run(['logs', '--json']);
    expect(
      json
        .trimEnd()
        .split('\n')
        .map((line) => (JSON.parse(line) as { text: string }).text),
    ).toEqual(['one\nmore', 'two\u001b[2J']);
  });

  it('go on with -f, nothing twice, until Ctrl-C', async () => {
    const past = record(1_000, 'past');
    platform
      .on('GET', '/v1/tenants/acme/logs', () => ({ items: [past], next: null }))
      .on('GET', '/v1/tenants/acme/logs/stream', (_request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        for (const line of [past, record(2_000, 'live')]) response.write(`data: ${JSON.stringify(line)}\n\n`);
      });
    const stop = new AbortController();
    const { code, stdout } = await terminal.run(['logs', '-f'], {
      signal: stop.signal,
      onOutput: (text) => {
        if (text.includes('live')) stop.abort();
      },
    });
    expect(stdout).toBe('00:00:01.000 f info  past\n00:00:02.000 f info  live\n');
    expect(code).toBe(130);
  });

  it('say why the stream could not be opened', async () => {
    platform.on('GET', '/v1/tenants/acme/logs/stream', () => {
      throw new BerthError('LIMIT_REACHED', { name: 'logStreams', limit: 10 });
    });
    const { code, stderr } = await terminal.run(['logs', '-f']);
    expect(code).toBe(1);
    expect(stderr).toContain('logStreams');
  });
});
