/** The servers that `warm` compares, all of them up during the whole run and idle when it is not their turn. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addTenant, helloSource, issueToken, portOf, serverFile, startBerth } from '../harness/berth.ts';
import { startChild, startServer, type Scope } from '../harness/child.ts';
import { peerFolder, workerdBinary } from '../harness/peers.ts';
import type { Target } from '../harness/wrk.ts';

/** As many callers with a token of their own. */
const TOKENS = 100;
const node = process.execPath;

export async function startSides(scope: Scope): Promise<Map<string, Target>> {
  const root = [{ path: '/' }];
  const bare = await startBare(scope);
  return new Map<string, Target>([
    ...(await startBerthSides(scope)),
    ['node:http', { port: bare, requests: root }],
    ['workerd', { port: await startWorkerd(scope, 'workerd-static.capnp'), requests: root }],
    ['functions-framework', { port: await startFramework(scope), requests: root }],
    ['undici proxy', { port: await startProxy(scope), requests: root }],
  ]);
}

async function startBerthSides(scope: Scope): Promise<[string, Target][]> {
  const platform = await startBerth(scope);
  const port = portOf(platform);
  await addTenant(platform, 'bench');
  await platform.deploy('bench', 'hello', helloSource);
  await platform.deploy('bench', 'fetch', "export default () => new Response('Hello World');");
  await platform.deploy('bench', 'private', helloSource, { access: 'token' });
  const tokens = await Promise.all(Array.from({ length: TOKENS }, () => issueToken(platform, 'bench')));
  const path = '/run/bench/private';
  return [
    ['berth', { port, requests: [{ path: '/run/bench/hello' }] }],
    ['berth with JWT', { port, requests: tokens.map((token) => ({ path, token })) }],
    ['berth, form fetch', { port, requests: [{ path: '/run/bench/fetch' }] }],
  ];
}

export async function startBare(scope: Scope, handler = 'hello.cjs'): Promise<number> {
  const args = (port: number): string[] => [serverFile('bare-server.cjs'), String(port), serverFile(handler)];
  return (await startServer(scope, (port) => ({ command: node, args: args(port) }))).port;
}

export async function startWorkerd(scope: Scope, config: string): Promise<number> {
  const server = await startServer(scope, (port) => ({
    command: workerdBinary(),
    args: [
      'serve',
      '--experimental',
      '--socket-addr',
      `http=127.0.0.1:${port}`,
      serverFile(config),
      'config',
    ],
  }));
  return server.port;
}

async function startFramework(scope: Scope): Promise<number> {
  const main = join(peerFolder('@google-cloud/functions-framework'), 'build/src/main.js');
  const source = serverFile('framework-function.cjs');
  const server = await startServer(scope, (port) => ({
    command: node,
    args: [main, `--source=${source}`, '--target=hello', `--port=${port}`, '--host=127.0.0.1'],
    env: {
      BENCH_FRAMEWORK: peerFolder('@google-cloud/functions-framework'),
      BENCH_HANDLER: serverFile('hello.cjs'),
    },
  }));
  return server.port;
}

export async function startProxy(scope: Scope, handler = 'hello.cjs'): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-'));
  scope.defer(() => rm(folder, { recursive: true }));
  const socket = join(folder, 'upstream.sock');
  const upstream = [serverFile('bare-server.cjs'), socket, serverFile(handler)];
  startChild(scope, { command: node, args: upstream });
  const proxy = serverFile('undici-proxy.cjs');
  const server = await startServer(scope, (port) => ({
    command: node,
    args: [proxy, String(port), socket, peerFolder('undici')],
  }));
  return server.port;
}
