import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakePlatform } from '../client/testing/fake-platform.ts';
import { FakeTenants } from '../client/testing/fake-tenants.ts';
import { BerthError } from '../contracts/errors.ts';
import { Terminal } from './testing/terminal.ts';

let platform: FakePlatform;
let fake: FakeTenants;
let terminal: Terminal;

beforeEach(async () => {
  platform = await FakePlatform.start();
  fake = new FakeTenants(platform);
  platform.on('GET', '/v1', () => ({
    version: '0.1.0',
    node: 'v24.0.0',
    driver: {
      name: 'jail',
      gaps: [
        { name: 'own-uid', isAccepted: false, reason: 'no root' },
        { name: 'seccomp', isAccepted: true, reason: 'no gcc' },
        { name: 'cpu-limit', isAccepted: true, reason: 'no root' },
      ],
      runtimes: {
        standard: {
          name: 'runc',
          hasOwnKernel: false,
          fixedLimits: ['tmpBytes', 'tmpInodes'],
          canFreeze: true,
        },
        hardened: { name: 'runsc', hasOwnKernel: true, fixedLimits: [], canFreeze: false },
      },
    },
    scopes: ['operator'],
    tenant: null,
  }));
  terminal = new Terminal();
  terminal.env = { BERTH_URL: platform.url, BERTH_TOKEN: platform.token };
});
afterEach(async () => {
  terminal.remove();
  await platform.close();
});

async function done(...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await terminal.run(argv);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return stdout;
}

describe('tenants', () => {
  it('are made, listed, shown, changed and deleted', async () => {
    expect(await done('tenant', 'create', 'acme', '--name', 'Acme', '--limit', 'wallMs=500')).toContain(
      'acme',
    );
    expect(fake.tenant('acme').record).toMatchObject({ name: 'Acme', limits: { wallMs: 500 } });
    expect(await done('tenants', 'ls')).toMatch(/^tenant +state[^]*acme +active/);
    expect(await done('tenant', 'show', 'acme')).toContain('wallMs=500');
    await done('tenant', 'update', 'acme', '--limit', 'pids=32', '--limit', 'wallMs=default', '--suspend');
    expect(fake.tenant('acme').record).toMatchObject({ limits: { pids: 32 }, state: 'suspended' });
    await done('tenant', 'rm', 'acme');
    expect(await done('tenant', 'ls')).toContain('There is no tenant');
  });

  it('connect where their egress policy says, and show what they used', async () => {
    await done('tenant', 'create', 'acme', '--egress', 'none');
    expect(fake.tenant('acme').record).toMatchObject({ egress: 'none' });
    await done('tenant', 'update', 'acme', '--egress', 'api.example.com:443', '--egress', '10.1.2.3:5432');
    expect(fake.tenant('acme').record).toMatchObject({ egress: ['api.example.com:443', '10.1.2.3:5432'] });
    expect(await done('tenant', 'show', 'acme')).toContain('api.example.com:443 10.1.2.3:5432');
    const wrong = await terminal.run(['tenant', 'update', 'acme', '--egress', 'http://x/']);
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      expect.stringContaining('"http://x/" is no target of egress'),
    ]);
    expect(await done('tenant', 'usage', 'acme', '--days', '7')).toMatch(/2026-01-31 +egressBytesIn +7/);
  });

  it('are chosen by flag, variable, or because there is only one', async () => {
    const none = await terminal.run(['ls']);
    expect(none.code).toBe(2);
    expect(none.stderr).toContain('berth tenant create');
    fake.add('one');
    await done('ls');
    fake.add('two');
    const several = await terminal.run(['ls']);
    expect(several.code).toBe(2);
    expect(several.stderr).toContain('one, two');
    await done('ls', '-t', 'two');
    expect((await terminal.run(['ls'], { env: { BERTH_TENANT: 'two' } })).code).toBe(0);
  });
});

describe('functions', () => {
  beforeEach(() => fake.add('acme'));

  it('are deployed from a file, listed, shown, changed, rolled back and deleted', async () => {
    terminal.write({ 'hello.ts': 'export default () => new Response("1");\n' });
    const shown = await done(
      'deploy',
      'hello.ts',
      '--private',
      '--env',
      'A=b=c',
      '--meta',
      'm=1',
      '--secret',
      'K=v',
    );
    expect(shown).toContain(`${platform.url}/run/acme/hello`);
    expect(fake.function('acme', 'hello')).toMatchObject({
      access: 'token',
      env: { A: 'b=c' },
      meta: { m: '1' },
      secrets: { K: 'v' },
    });
    expect(fake.function('acme', 'hello').revisions[0]?.body).toMatchObject({ filename: 'hello.ts' });
    terminal.write({ 'hello.ts': 'export default () => new Response("2");\n' });
    await done('deploy', 'hello.ts', '--form', 'fetch');
    expect(fake.function('acme', 'hello')).toMatchObject({ access: 'token', secrets: { K: 'v' } });
    expect(await done('ls')).toMatch(/hello +token/);
    expect(await done('show', 'hello')).toContain('fetch (set by hand)');
    expect(await done('revisions', 'hello')).toMatch(/\* +2 +r0{23}2[^]*1 +r0{23}1/);
    expect(await done('source', 'hello')).toBe('export default () => new Response("2");\n');
    expect(await done('source', 'hello', '-r', '1')).toContain('"1"');
    await done('rollback', 'hello');
    expect(fake.function('acme', 'hello').active).toBe(`r${'1'.padStart(24, '0')}`);
    await done('activate', 'hello', '2');
    expect(fake.function('acme', 'hello').active).toBe(`r${'2'.padStart(24, '0')}`);
    await done('set', 'hello', '--public');
    expect(fake.function('acme', 'hello').access).toBe('public');
    await done('rm', 'hello');
    expect(await done('ls')).toContain('There is no function');
  });

  it('of one file that imports what no sandbox has are deployed with a warning that names it', async () => {
    terminal.write({
      'app.ts':
        'import type { Server } from "types";\nimport fs from "node:fs";\nimport { x } from "./x.ts";\nconst express = require("express");\nexport default (req: Server, res) => res.end(fs, x, express)',
    });
    const deployed = await terminal.run(['deploy', 'app.ts']);
    expect(deployed.code).toBe(0);
    expect(deployed.stderr).toContain('imports "./x.ts", "express", which a sandbox does not have');
    terminal.write({ 'own.js': 'const fs = require("fs");\nmodule.exports = (cb) => cb(null, fs)' });
    expect((await terminal.run(['deploy', 'own.js'])).stderr).not.toContain('imports');
  });

  it('come from standard input, named', async () => {
    const piped = await terminal.run(['deploy', '-', '--name', 'piped'], {
      stdin: 'module.exports = (cb) => cb()',
    });
    expect(piped).toMatchObject({ code: 0, stderr: '' });
    expect(fake.function('acme', 'piped').revisions[0]?.source).toBe('module.exports = (cb) => cb()');
    expect((await terminal.run(['deploy', '--name', 'implied'], { stdin: 'x' })).code).toBe(0);
    expect(await terminal.run(['deploy', '-'], { stdin: 'x' })).toMatchObject({ code: 2 });
    expect((await terminal.run(['deploy'], { stdin: ' \n' })).stderr).toContain('no code on standard input');
  });

  it('have secrets that come from arguments, variables or standard input, and are never printed', async () => {
    terminal.write({ 'f.js': 'module.exports = () => 1' });
    await done('deploy', 'f.js');
    await done('secret', 'set', 'f', 'A=1', 'B=2');
    await terminal.run(['secret', 'set', 'f', 'C'], { env: { C: 'from-env' } });
    const piped = await terminal.run(['secret', 'set', 'f', 'D'], { stdin: 'from-stdin\n' });
    expect(fake.function('acme', 'f').secrets).toEqual({ A: '1', B: '2', C: 'from-env', D: 'from-stdin' });
    expect(piped.stdout).not.toContain('from-stdin');
    expect(await done('secrets', 'ls', 'f')).toBe('A\nB\nC\nD\n');
    await done('secret', 'rm', 'f', 'A');
    expect(Object.keys(fake.function('acme', 'f').secrets)).toEqual(['B', 'C', 'D']);
    expect((await terminal.run(['secret', 'set', 'f', 'E'])).code).toBe(2);
  });

  it('answer as JSON when asked, on stdout alone', async () => {
    terminal.write({ 'f.js': 'module.exports = () => 1' });
    expect(JSON.parse(await done('deploy', 'f.js', '--json'))).toMatchObject({ function: { name: 'f' } });
    expect(JSON.parse(await done('--json', 'ls'))).toHaveLength(1);
    const missing = await terminal.run(['show', 'g', '--json']);
    expect(missing.code).toBe(3);
    expect(JSON.parse(missing.stderr)).toMatchObject({
      error: { code: 'NOT_FOUND', wayOut: expect.any(String) },
    });
  });

  it('without a token say where the command finds one', async () => {
    platform.on('GET', '/v1/tenants/acme/functions', () => {
      throw new BerthError('TOKEN_MISSING');
    });
    const refused = await terminal.run(['ls', '-t', 'acme']);
    expect(refused.code).toBe(4);
    expect(refused.stderr).toMatch(/--token, BERTH_TOKEN or "berth login"/);
  });

  it('show a syntax error with its place, and the way out', async () => {
    platform.on('PUT', '/v1/tenants/acme/functions/f', () => {
      throw new BerthError('CODE_INVALID', { reason: 'Unexpected token', file: 'f.js', line: 3, column: 9 });
    });
    terminal.write({ 'f.js': 'x' });
    const { code, stderr } = await terminal.run(['deploy', 'f.js']);
    expect(code).toBe(1);
    expect(stderr).toContain('(f.js:3:9)');
    expect(stderr).toContain('deploy again');
  });
});

describe('keys and tokens', () => {
  beforeEach(() => fake.add('acme'));
  const at = 1_700_000_000_000;

  it('are added, listed and revoked; a secret is shown once', async () => {
    platform
      .on('POST', '/v1/tenants/acme/keys', ({ body }) => ({
        id: 'k1',
        secret: 's3cret',
        createdAt: at,
        revokedAt: null,
        ...body,
      }))
      .on('GET', '/v1/tenants/acme/keys', () => ({
        items: [{ id: 'k1', kind: 'hs256', createdAt: at, revokedAt: at }],
      }))
      .on('DELETE', '/v1/tenants/acme/keys/k1', () => undefined);
    expect(await done('key', 'add', 'hs256')).toContain('s3cret');
    terminal.write({ 'key.txt': 'from-file\n' });
    await done('key', 'add', 'jwe', '--id', 'e1', '--secret', '@key.txt');
    await done('key', 'add', 'jwks', '--jwks', 'https://idp.example/jwks.json');
    expect(platform.requests.filter(({ method }) => method === 'POST').map(({ body }) => body)).toEqual([
      { kind: 'hs256' },
      { kind: 'jwe', id: 'e1', secret: 'from-file' },
      { kind: 'jwks', url: 'https://idp.example/jwks.json' },
    ]);
    expect(await done('keys', 'ls')).toContain('revoked 2023-11-14 22:13:20');
    await done('key', 'rm', 'k1');
    platform.on('DELETE', '/v1/keys/p1', () => undefined);
    await done('key', 'rm', 'p1', '--platform');
    expect((await terminal.run(['key', 'add', 'rsa'])).code).toBe(2);
  });

  it('a new token is printed alone', async () => {
    platform
      .on('POST', '/v1/tenants/acme/tokens', () => ({ token: 'a.b.c', jti: 'j' }))
      .on('POST', '/v1/tenants/acme/tokens/revoke', () => undefined)
      .on('POST', '/v1/tenants/acme/tokens/revoke-all', () => undefined);
    expect(await done('token', 'create', '--function', 'f', '--expires', '2h')).toBe('a.b.c\n');
    expect(platform.seen('POST', '/v1/tenants/acme/tokens').body).toEqual({
      scopes: ['run'],
      fn: 'f',
      expiresInSeconds: 7_200,
    });
    await done('token', 'revoke', 'a.b.c');
    expect(platform.seen('POST', '/v1/tenants/acme/tokens/revoke').body).toEqual({ token: 'a.b.c' });
    platform.on('POST', '/v1/tokens/revoke', () => undefined);
    await done('token', 'revoke', 'id', '--platform');
    expect(platform.seen('POST', '/v1/tokens/revoke').body).toEqual({ jti: 'id' });
    await done('token', 'revoke-all');
    expect(await terminal.run(['token', 'create', '--expires', 'soon'])).toMatchObject({ code: 2 });
    expect(await terminal.run(['token', 'create', '--scope', 'operator'])).toMatchObject({ code: 2 });
  });
});

describe('which platform and which token', () => {
  it('the token file of this folder is for this machine only', async () => {
    terminal.env = { BERTH_URL: platform.url };
    terminal.write({ 'data/admin-token': `${platform.token}\n`, 'other/admin-token': 'wrong' });
    await done('tenant', 'ls');
    expect((await terminal.run(['tenant', 'ls'], { env: { BERTH_DATA_DIR: 'other' } })).code).toBe(4);
    const away = await terminal.run(['status', '--url', 'http://berth.invalid', '--json']);
    expect(away.code).toBe(5);
  });

  it('login checks the token, keeps it for the user alone, and only for that address', async () => {
    terminal.env = {};
    fake.add('acme');
    fake.add('two');
    expect(
      await done('login', '--url', platform.url, '--token', platform.token, '--tenant', 'acme'),
    ).toContain('Logged in');
    const file = join(terminal.home, '.config/berth/profile.json');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ tenant: 'acme' });
    await done('ls');
    const other = await FakePlatform.start();
    const { code } = await terminal.run(['ls', '--url', other.url]);
    expect(code).toBe(4);
    expect(other.requests.every(({ token }) => token === null)).toBe(true);
    await other.close();
    expect((await terminal.run(['login', '--url', platform.url, '--token', 'bad'])).code).toBe(4);
    await done('ls');
    await done('logout');
    expect((await terminal.run(['login'])).code).toBe(2);
  });

  it('status says whether it is ready, and what is missing', async () => {
    platform.on('GET', '/readyz', (_request, response) => {
      response.writeHead(503).end(JSON.stringify({ isReady: false, reasons: ['no sandbox can be made'] }));
    });
    const { code, stdout } = await terminal.run(['status']);
    expect(code).toBe(1);
    expect(stdout).toContain('no sandbox can be made');
    expect(stdout).toMatch(
      /standard +runc; idle functions are frozen; replaced when tmpBytes or tmpInodes change\n/,
    );
    expect(stdout).toMatch(/hardened +runsc; a kernel of its own; idle functions go on\n/);
    expect(stdout).toMatch(/own-uid, cpu-limit \(accepted\): no root\n.*seccomp \(accepted\): no gcc\n/);
  });
});

describe('the command itself', () => {
  it.each([
    [['frob'], "Unknown command 'frob'"],
    [['tenant', 'create'], "Missing required argument 'id'"],
    [['ls', '--frob'], "Unknown option '--frob'"],
    [['deploy', 'nothing.js'], 'no file or folder'],
    [['set', 'f'], 'Nothing is to be changed'],
    [['logs', '--since', 'soon'], 'is no time'],
    [['ls', '--url', 'ftp://x'], 'not an http or https address'],
  ])('%j is told what is wrong, and that it is usage', async (argv, told) => {
    fake.add('acme');
    const { code, stderr } = await terminal.run(argv);
    expect(stderr).toContain(told);
    expect(code).toBe(2);
    expect(stderr.trimEnd().split('\n').length).toBe(2);
  });

  it('says how to start the platform when nothing answers', async () => {
    await platform.close();
    const { code, stderr } = await terminal.run(['tenant', 'ls']);
    expect(code).toBe(5);
    expect(stderr).toContain('npm start');
  });

  it('prints help and version on stdout', async () => {
    expect(await done('--version')).toBe('1.2.3\n');
    expect(await done('deploy', '--help')).toContain('Examples:');
    expect((await terminal.run([])).code).toBe(2);
  });

  it('has colours on a terminal only, and not with NO_COLOR', async () => {
    fake.add('acme');
    expect((await terminal.run(['tenant', 'ls'], { isTerminal: true })).stdout).toContain('\u001b[');
    expect(
      (await terminal.run(['tenant', 'ls'], { isTerminal: true, env: { NO_COLOR: '1' } })).stdout,
    ).not.toContain('\u001b[');
    expect((await terminal.run(['tenant', 'ls'])).stdout).not.toContain('\u001b[');
  });

  it('prints the configuration of a server started here', async () => {
    terminal.write({ 'b.json': '{"pool":{"minBlank":2}}' });
    const env = { PORT: '9000', BERTH_CONFIG: 'b.json', BERTH_MASTER_KEY: 'A'.repeat(43) };
    const { stdout } = await terminal.run(['config', '--json'], { env });
    const config = JSON.parse(stdout) as Record<string, unknown>;
    expect(config['port']).toEqual({ value: 9_000, origin: 'environment', where: 'PORT' });
    expect(config['masterKey']).toMatchObject({ value: '[secret]' });
    expect(config['pool.minBlank']).toMatchObject({ value: 2, origin: 'file' });
    expect((await terminal.run(['config'], { env: { PORT: 'x' } })).code).toBe(2);
  });
});
