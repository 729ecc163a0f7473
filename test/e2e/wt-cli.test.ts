/** The unmodified wt-cli from npm against a real platform: the promise that people can bring their webtasks along. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, TestPlatform } from '../support/platform.ts';

const VERSION = '11.0.2';
const INSTALLED = join(tmpdir(), `berth-test-wt-cli-${VERSION}`);
const COMMAND_MS = 60_000;
const INSTALL_MS = 280_000;
const CONTAINER = 'wt-people-0';
const NOT_FOUND = 5;
const BAD_REQUEST = 6;
/** what it makes of any refusal to create */
const UNCAUGHT = 99;

interface Output {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let platform: TestPlatform;
let home: string;

beforeAll(async () => {
  await installOnce();
  home = await mkdtemp(join(tmpdir(), 'berth-test-wt-home-'));
  platform = await TestPlatform.start();
});
afterAll(async () => {
  await platform?.stop();
  await rm(home, { recursive: true, force: true });
});

/** Into a folder that later runs use again; whole or not at all, also when two tests come at the same time. */
async function installOnce(): Promise<void> {
  if (existsSync(INSTALLED)) return;
  const folder = await mkdtemp(join(tmpdir(), 'berth-test-wt-install-'));
  await writeFile(join(folder, 'package.json'), '{"private":true}');
  const flags = ['--no-audit', '--no-fund', '--omit=dev', '--ignore-scripts', '--no-package-lock'];
  const npm = run('npm', ['install', ...flags, `wt-cli@${VERSION}`], {
    cwd: folder,
    limitMs: INSTALL_MS,
    env: process.env,
  });
  const { code, stderr } = await npm.output;
  expect(code, stderr).toBe(0);
  await rename(folder, INSTALLED).catch(async (error: unknown) => {
    await rm(folder, { recursive: true, force: true });
    if (!existsSync(INSTALLED)) throw error;
  });
}

interface Running {
  readonly child: ChildProcess;
  readonly output: Promise<Output>;
  /** what was printed until now */
  readonly text: () => string;
}

function run(
  command: string,
  args: readonly string[],
  {
    input = '',
    limitMs = COMMAND_MS,
    ...options
  }: { input?: string; limitMs?: number; cwd: string; env: NodeJS.ProcessEnv },
): Running {
  const child = spawn(command, args, { ...options, stdio: 'pipe', timeout: limitMs, killSignal: 'SIGKILL' });
  const printed = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (printed.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (printed.stderr += chunk.toString()));
  child.stdin.end(input);
  const output = new Promise<Output>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...printed }));
  });
  return { child, output, text: () => printed.stdout };
}

function start(args: readonly string[], input?: string): Running {
  const env = { PATH: process.env['PATH'] ?? '', HOME: home, NO_UPDATE_NOTIFIER: '1' };
  const main = join(INSTALLED, 'node_modules/wt-cli/bin/wt');
  return run(process.execPath, [main, ...args], {
    cwd: home,
    env,
    ...(input === undefined ? {} : { input }),
  });
}

/** Runs `wt` to its end. @throws when it ends with another code */
async function wt(
  args: readonly string[],
  { code = 0, input }: { code?: number; input?: string } = {},
): Promise<Output> {
  const output = await start(args, input).output;
  expect(output.code, `wt ${args.join(' ')}: ${output.stdout}${output.stderr}`).toBe(code);
  return output;
}

async function file(name: string, source: string): Promise<string> {
  await writeFile(join(home, name), source);
  return name;
}

async function call(path: string, init?: RequestInit): Promise<unknown> {
  const response = await fetch(`${platform.url}/api/run/${CONTAINER}${path}`, {
    ...init,
    signal: AbortSignal.timeout(COMMAND_MS),
  });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return JSON.parse(text);
}

describe('wt-cli', { timeout: 120_000 }, () => {
  it('init: keeps a profile with our address and token', async () => {
    const { stdout } = await wt([
      'init',
      '--url',
      platform.url,
      '--token',
      platform.token,
      '--container',
      CONTAINER,
    ]);
    expect(stdout).toContain('Welcome to webtasks');
    const profile: unknown = JSON.parse(await readFile(join(home, '.webtask'), 'utf8'));
    expect(profile).toEqual({ default: { url: platform.url, token: platform.token, container: CONTAINER } });
    expect((await wt(['ls'], { code: BAD_REQUEST })).stderr).toContain(CONTAINER);
  });

  it('create from a file, with a secret and metadata; it runs at the address that was printed', async () => {
    const name = await file(
      'hello.js',
      'module.exports = (ctx, cb) => cb(null, { secret: ctx.secrets.KEY, team: ctx.meta.team, name: ctx.data.name });',
    );
    const { stdout } = await wt(['create', name, '--secret', 'KEY=s3cret', '--meta', 'team=blue']);
    expect(stdout).toContain('Webtask created');
    const url = `${platform.url}/api/run/${CONTAINER}/hello`;
    expect(stdout).toContain(url);
    expect(await call('/hello?name=Ada')).toEqual({ secret: 's3cret', team: 'blue', name: 'Ada' });
  });

  it('create from standard input, answered as JSON', async () => {
    const input =
      'module.exports = function (ctx, req, res) { res.writeHead(200); res.end(JSON.stringify(req.url)); };';
    const { stdout } = await wt(['create', '--name', 'piped', '-o', 'json', '--show-token'], { input });
    const { token, ...shown } = JSON.parse(stdout) as Record<string, string>;
    expect(shown).toEqual({
      url: `${platform.url}/api/run/${CONTAINER}/piped`,
      name: 'piped',
      container: CONTAINER,
    });
    expect(token!.split('.')).toHaveLength(3);
    expect(await call('/piped/deep/path?a=1')).toBe(`/api/run/${CONTAINER}/piped/deep/path?a=1`);
  });

  it('create of each other form: a body that is merged, params, TypeScript', async () => {
    await wt([
      'create',
      await file(
        'merged.js',
        'module.exports = (ctx, cb) => cb(null, [ctx.data.from, ctx.body.from, ctx.params.p]);',
      ),
      '--param',
      'p=q',
    ]);
    const body = JSON.stringify({ from: 'body' });
    expect(
      await call('/merged', { method: 'POST', body, headers: { 'content-type': 'application/json' } }),
    ).toEqual(['body', 'body', 'q']);
    await wt([
      'create',
      await file(
        'typed.ts',
        'export default (request: Request): Response => Response.json(new URL(request.url).search as string);',
      ),
    ]);
    expect(await call('/typed?x')).toBe('?x');
  });

  it('create of code that does not compile: refused with its place', async () => {
    const name = await file('broken.js', '// one\nmodule.exports = (;\n');
    const { stderr } = await wt(['create', name], { code: UNCAUGHT });
    expect(stderr).toMatch(/does not compile: .*:2:/);
  });

  it('ls: what there is, filtered and in pages', async () => {
    const { stdout } = await wt(['ls']);
    expect(stdout).toMatch(/Name:\s+hello/);
    expect(stdout).toContain(`${platform.url}/api/run/${CONTAINER}/hello`);
    const list = async (...args: string[]): Promise<string[]> =>
      (JSON.parse((await wt(['ls', '-o', 'json', ...args])).stdout) as { name: string }[]).map(
        ({ name }) => name,
      );
    expect(await list()).toEqual(['hello', 'merged', 'piped', 'typed']);
    expect(await list('--meta', 'team=blue')).toEqual(['hello']);
    expect(await list('--offset', '1', '--limit', '2')).toEqual(['merged', 'piped']);
  });

  it('inspect: secrets and code only when asked for', async () => {
    const inspect = async (...args: string[]): Promise<Record<string, unknown>> =>
      JSON.parse((await wt(['inspect', 'hello', '-o', 'json', ...args])).stdout) as Record<string, unknown>;
    const plain = await inspect();
    expect(plain).toMatchObject({
      ten: CONTAINER,
      jtn: 'hello',
      meta: { team: 'blue' },
      mb: 1,
      ectx: expect.any(String),
    });
    expect(JSON.stringify(plain)).not.toContain('s3cret');
    expect(plain).not.toHaveProperty('code');
    expect(await inspect('--decrypt', '--fetch-code')).toMatchObject({
      ectx: { KEY: 's3cret' },
      code: expect.stringContaining('ctx.secrets.KEY'),
    });
    expect((await wt(['inspect', 'hello', '--decrypt'])).stdout).toContain("KEY: 's3cret'");
  });

  it('update: new code, the same secrets and metadata, each request answered by one of the two', async () => {
    const seen: unknown[] = [];
    const updated = new AbortController();
    const calling = (async () => {
      while (!updated.signal.aborted) seen.push(await call('/hello'));
    })();
    await file(
      'hello.js',
      'module.exports = (ctx, cb) => cb(null, { version: 2, secret: ctx.secrets.KEY, team: ctx.meta.team });',
    );
    const { stdout } = await wt(['update', 'hello', 'hello.js']).finally(() => updated.abort());
    await calling;
    expect(stdout).toContain('Webtask updated');
    const [before, after] = [
      { secret: 's3cret', team: 'blue' },
      { version: 2, secret: 's3cret', team: 'blue' },
    ];
    expect(seen.length).toBeGreaterThan(0);
    for (const answer of seen) expect([before, after]).toContainEqual(answer);
    expect(await call('/hello')).toEqual(after);
  });

  it('logs: console lines and the platform’s own, live', async () => {
    await wt([
      'create',
      await file(
        'chatty.js',
        "module.exports = (cb) => { console.log('a line\\nof', { mine: 1 }); cb(null, 'ok'); };",
      ),
    ]);
    const logs = start(['logs']);
    try {
      await eventually(() => expect(logs.text()).toContain('connected to streaming logs'));
      await eventually(async () => {
        expect(await call('/chatty')).toBe('ok');
        expect(logs.text()).toContain('a line');
      });
      await eventually(() =>
        expect(logs.text()).toMatch(/finished webtask request [\d.]+ with HTTP 200 in \d+ms/),
      );
      expect(logs.text()).toMatch(/new webtask request [\d.]+/);
      expect(logs.text()).toContain('mine: 1');
    } finally {
      logs.child.kill('SIGKILL');
      await logs.output;
    }
  });

  it('token create: an unnamed webtask that runs by its token, and outlives a restart', async () => {
    const { stdout } = await wt([
      'token',
      'create',
      '--ten',
      CONTAINER,
      '--code',
      "module.exports = (cb) => cb(null, 'unnamed');",
    ]);
    const token = /[\w-]+\.[\w-]+\.[\w-]+/.exec(stdout)![0];
    expect(await call(`?key=${token}`)).toBe('unnamed');
    await platform.end('SIGTERM');
    await platform.restart();
    expect(await call(`?key=${token}`)).toBe('unnamed');
    expect(await call('/hello')).toMatchObject({ version: 2 });
  });

  it('create --bundle: asks the platform for its Node first', async () => {
    await mkdir(join(home, 'bundled'));
    await writeFile(join(home, 'bundled/part.js'), "module.exports = 'of two files';");
    await writeFile(
      join(home, 'bundled/main.js'),
      "const part = require('./part'); module.exports = (cb) => cb(null, part);",
    );
    await wt(['create', 'bundled/main.js', '--bundle', '--name', 'bundled']);
    expect(await call('/bundled')).toBe('of two files');
  });

  it('rm: removes it, once', async () => {
    expect((await wt(['rm', 'hello'])).stdout).toContain('Removed webtask: hello');
    expect((await fetch(`${platform.url}/api/run/${CONTAINER}/hello`)).status).toBe(404);
    expect((await wt(['rm', 'hello'], { code: NOT_FOUND })).stderr).toContain('No such webtask');
  });
});

interface SandboxWebtask {
  readonly token: string;
  readonly url: string;
  readonly meta: Record<string, string>;
  inspect(options: object): Promise<Record<string, unknown>>;
  run(options?: object): Promise<{ body: unknown; statusCode: number }>;
}

/** What of sandboxjs 5.0.0, the library inside of wt-cli, is used here. */
interface Sandbox {
  create(code: string, options?: object): Promise<SandboxWebtask>;
  createWebtask(options: object): Promise<SandboxWebtask>;
  getWebtask(options: object): Promise<SandboxWebtask>;
  updateWebtask(options: object): Promise<SandboxWebtask>;
  listWebtasks(options: object): Promise<readonly SandboxWebtask[]>;
  removeWebtask(options: object): Promise<boolean>;
  createToken(options: object): Promise<string>;
  run(code: string, options?: object): Promise<{ body: unknown; statusCode: number }>;
}

describe('sandboxjs', { timeout: 120_000 }, () => {
  const open = (token: string): Sandbox => {
    const library = createRequire(join(INSTALLED, 'node_modules/wt-cli/'))('sandboxjs') as {
      init(profile: object): Sandbox;
    };
    return library.init({ url: platform.url, container: CONTAINER, token });
  };
  const code = (text: string): string =>
    `module.exports = (ctx, cb) => cb(null, [${JSON.stringify(text)}, ctx.secrets]);`;

  it('reads the very token that creating answered', async () => {
    const sandbox = open(platform.token);
    const made = await sandbox.create(code('one'), { name: 'lib', secrets: { a: 'b' }, meta: { m: '1' } });
    expect((await sandbox.getWebtask({ name: 'lib' })).token).toBe(made.token);
    expect((await made.run()).body).toEqual(['one', { a: 'b' }]);
  });

  it('updates one thing and keeps the others', async () => {
    const sandbox = open(platform.token);
    await sandbox.updateWebtask({ name: 'lib' });
    await sandbox.updateWebtask({ name: 'lib', meta: { m: '2' } });
    const [listed] = await sandbox.listWebtasks({ meta: { m: '2' } });
    expect((await listed!.run()).body).toEqual(['one', { a: 'b' }]);
    await sandbox.updateWebtask({ name: 'lib', code: code('two') });
    expect((await listed!.run()).body).toEqual(['two', { a: 'b' }]);
    await sandbox.updateWebtask({ name: 'lib', secrets: false });
    expect((await listed!.run()).body).toEqual(['two', {}]);
  });

  it('creates by PUT, and what it leaves out stays', async () => {
    const sandbox = open(platform.token);
    await sandbox.createWebtask({ name: 'lib', code: code('three'), secrets: { c: 'd' } });
    const changed = await sandbox.createWebtask({ name: 'lib', code: code('four') });
    expect((await changed.run()).body).toEqual(['four', { c: 'd' }]);
    expect(changed.meta).toEqual({ m: '2' });
  });

  it('runs code without a name, and passes on a token for less than its own', async () => {
    const sandbox = open(platform.token);
    expect((await sandbox.run(code('nameless'), { secrets: { x: 'y' } })).body).toEqual([
      'nameless',
      { x: 'y' },
    ]);
    const lesser = open(await sandbox.createToken({ issuanceDepth: 1 }));
    expect(await lesser.removeWebtask({ name: 'lib' })).toBe(true);
    await expect(lesser.getWebtask({ name: 'lib' })).rejects.toMatchObject({ statusCode: 404 });
    const least = open(await lesser.createToken({}));
    await expect(least.create(code('x'), { name: 'lib' })).rejects.toMatchObject({ statusCode: 403 });
  });
});
