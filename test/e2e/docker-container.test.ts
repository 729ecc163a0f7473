/** Berth itself as a container: built on a base image made from this machine's files, with the engine's socket and nothing else. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { engineHost, reasonToSkipDocker } from '../contract/docker-engine.ts';
import { eventually, freePort, projectRoot } from '../support/platform.ts';
import { buildServiceImages, serviceSettings } from '../support/service-images.ts';

const run = promisify(execFile);
const reason = await reasonToSkipDocker('runc');
const [base, image, name] = ['berth-test-base', 'berth-test-platform', `berth-test-${process.pid}`];
const BUILD_MS = 280_000;

async function docker(...args: string[]): Promise<string> {
  // The builder that every engine has; BuildKit is a plugin.
  const env = { ...process.env, DOCKER_HOST: engineHost, DOCKER_BUILDKIT: '0' };
  const { stdout } = await run('docker', args, { cwd: projectRoot, env, timeout: BUILD_MS });
  return stdout.trim();
}

describe.skipIf(reason !== null)('Berth as a container', () => {
  let url: string;
  beforeAll(async () => {
    await buildServiceImages();
    await run('bash', ['scripts/base-image.sh', base], {
      cwd: projectRoot,
      env: { ...process.env, DOCKER_HOST: engineHost },
    });
    await docker('build', '--quiet', '--build-arg', `BASE=${base}`, '--tag', image, '.');
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const settings = [
      'HOST=127.0.0.1',
      `PORT=${port}`,
      'BERTH_ACCEPT_GAPS=user-namespace,dies-with-platform',
      `BERTH_SERVICES=${serviceSettings}`,
    ];
    const socket = `${engineHost.replace('unix://', '')}:/var/run/docker.sock`;
    const options = ['--init', '--name', name, '--network', 'host', '--volume', socket];
    const environment = settings.flatMap((setting) => ['--env', setting]);
    await docker('run', '--detach', ...options, ...environment, image);
    await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200), 60_000);
  }, BUILD_MS);
  afterAll(async () => {
    await docker('rm', '--force', '--volumes', name);
    await docker('rmi', image, base);
  });

  const berth = (...args: string[]): Promise<string> =>
    docker('exec', name, 'node', 'bin/berth.mjs', ...args, '--url', url);

  it('needs no privileges, and its server has given up root', async () => {
    expect(
      await docker('inspect', '--format', '{{.HostConfig.Privileged}} {{.HostConfig.CapAdd}}', name),
    ).toBe('false []');
    const users = await docker('top', name, '-eo', 'pid,uid,args');
    expect(users).toMatch(/^\s*\d+\s+[1-9]\d*\s.*server\/main\.ts/m);
  });

  it('serves a function in a container beside it', async () => {
    await berth('tenant', 'create', 'acme');
    const deploy = `echo 'export default () => new Response("from " + process.version)' | node bin/berth.mjs deploy - --tenant acme --name hi --url ${url}`;
    await docker('exec', name, 'sh', '-c', deploy);
    const response = await fetch(`${url}/run/acme/hi`);
    expect(await response.text()).toBe(`from ${process.version}`);
  });

  it('gives a tenant a Redis of its own, in another container beside it', async () => {
    await berth('service', 'create', 'redis', '--tenant', 'acme');
    const source = `import net from 'node:net';
      export default (request, env) => new Promise((resolve) => {
        const socket = net.connect(Number(env.REDIS_PORT), env.REDIS_HOST);
        let answer = '';
        socket.on('data', (data) => (answer += data)).on('end', () => resolve(new Response(answer)));
        socket.on('error', (error) => resolve(new Response(String(error))));
        socket.write('AUTH ' + env.REDIS_PASSWORD + '\\r\\nINCR calls\\r\\nQUIT\\r\\n');
      });`;
    const shell = `node bin/berth.mjs deploy - --tenant acme --name redis --url ${url} <<'JS'\n${source}\nJS`;
    await docker('exec', name, 'sh', '-c', shell);
    for (const calls of [1, 2])
      expect(await (await fetch(`${url}/run/acme/redis`)).text()).toBe(`+OK\r\n:${calls}\r\n+OK\r\n`);
    await berth('service', 'rm', 'redis', '--tenant', 'acme');
  });

  it('leaves no sandbox behind when it stops', async () => {
    const read = 'require("node:fs").readFileSync("/data/cache/instance-id", "utf8").trim()';
    const instance = await docker('exec', name, 'node', '-p', read);
    // Its own: other tests may use the same engine and image meanwhile.
    const sandboxes = (): Promise<string> =>
      docker('ps', '--all', '--quiet', '--filter', `label=berth.instance=${instance}`);
    expect(await sandboxes()).not.toBe('');
    await docker('stop', '--time', '40', name);
    expect(await sandboxes()).toBe('');
  });
});
