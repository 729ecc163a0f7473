/** Services of tenants through the real platform, with a real Redis and a real PostgreSQL, on both runtimes. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reasonToSkipDocker } from '../contract/docker-engine.ts';
import { bundleFixture } from '../integration/bundle-fixture.ts';
import { eventually, TestPlatform } from '../support/platform.ts';
import { buildServiceImages, docker, serviceSettings } from '../support/service-images.ts';
import { driverEnvironment } from '../support/test-driver.ts';

const MiB = 1024 * 1024;
/** Its start under gVisor on a busy machine. */
const PATIENCE_MS = 60_000;
const reasons = { runc: await reasonToSkipDocker('runc'), runsc: await reasonToSkipDocker('runsc') };
const variants = [
  { runtime: 'runc', channel: 'auto' },
  { runtime: 'runsc', channel: 'auto' },
  { runtime: 'runc', channel: 'stdio' },
] as const;

interface Service {
  readonly name: string;
  readonly state: string;
  readonly host: string;
  readonly port: number;
  readonly secrets: string[];
  readonly diskBytes: number | null;
}
interface Answer {
  readonly value?: unknown;
  readonly error?: string;
}

for (const { runtime, channel } of variants) {
  describe.skipIf(reasons[runtime] !== null)(`services on docker+${runtime}, channel ${channel}`, () => {
    let platform: TestPlatform;
    let instance: string;
    const at = (tenant: string, more = ''): string => `/v1/tenants/${tenant}/services${more}`;
    const create = (tenant: string, body: object): Promise<Service> =>
      platform.must('POST', at(tenant), body);
    const list = async (tenant: string): Promise<Service[]> =>
      (await platform.must<{ items: Service[] }>('GET', at(tenant))).items;
    const ask = async (tenant: string, fn: string, body: object): Promise<Answer> => {
      const response = await platform.call(tenant, fn, { method: 'POST', body: JSON.stringify(body) });
      const text = await response.text();
      if (response.status !== 200) throw new Error(`${tenant}/${fn}: ${response.status} ${text}`);
      return JSON.parse(text) as Answer;
    };
    const redis = (tenant: string, command: readonly string[], url?: string): Promise<Answer> =>
      ask(tenant, 'cache', { command, url });
    const sql = (tenant: string, query: string, url?: string): Promise<Answer> =>
      ask(tenant, 'orders', { query, url });
    const secretsOf = (tenant: string): Promise<Record<string, string>> =>
      platform.call(tenant, 'secrets').then((response) => response.json()) as Promise<Record<string, string>>;
    /** Names of the containers that are services. */
    const containers = (kind: string): Promise<string[]> =>
      docker(
        'ps',
        '--format',
        '{{.Names}}',
        '--filter',
        `label=berth.service=${kind}`,
        '--filter',
        `label=${instance}`,
      ).then(lines);
    const volumes = (): Promise<string[]> =>
      docker('volume', 'ls', '--quiet', '--filter', 'label=berth.uid', '--filter', `label=${instance}`).then(
        lines,
      );

    beforeAll(async () => {
      await buildServiceImages();
      platform = await TestPlatform.start({
        ...driverEnvironment(`docker+${runtime}`),
        BERTH_DOCKER_CHANNEL: channel,
        BERTH_SERVICES: serviceSettings,
        BERTH_POOL_MIN_BLANK: '2',
        BERTH_POOL_MAX_BLANK: '3',
      });
      instance = `berth.instance=${readFileSync(join(platform.dataDir, 'cache/instance-id'), 'utf8')}`;
      const clients = { cache: 'redis-client.mjs', orders: 'postgres-client.mjs' };
      for (const tenant of ['acme', 'globex']) {
        await platform.must('POST', '/v1/tenants', { id: tenant, egress: 'none' });
        for (const [fn, file] of Object.entries(clients))
          await platform.deploy(tenant, fn, (await bundleFixture(file)).code.toString());
        const secrets =
          'export default (request, env) => Response.json(Object.fromEntries(Object.entries(env).filter(([name]) => /^(REDIS|POSTGRES)_/.test(name))))';
        await platform.deploy(tenant, 'secrets', secrets, { filename: 'secrets.mjs' });
      }
    });
    afterAll(async () => {
      for (const tenant of ['acme', 'globex']) await platform.must('DELETE', `/v1/tenants/${tenant}`);
      await platform.stop();
      expect(await volumes()).toEqual([]);
    });

    it('are made, each tenant’s own, and functions find them in their secrets', async () => {
      expect(await redis('acme', ['PING'])).toEqual({ error: 'there is no REDIS_URL' });
      const made = await create('acme', { kind: 'redis', memoryBytes: 128 * MiB });
      expect(made).toMatchObject({
        name: 'redis',
        state: 'running',
        host: 'redis.service.berth.internal',
        port: 6379,
        secrets: ['REDIS_URL', 'REDIS_HOST', 'REDIS_PORT', 'REDIS_PASSWORD'],
      });
      await Promise.all([
        create('globex', { kind: 'redis' }),
        create('acme', { kind: 'postgres' }),
        create('globex', { kind: 'postgres' }),
      ]);
      // No restart, no deploy: the next call has them.
      for (const tenant of ['acme', 'globex']) {
        expect(await redis(tenant, ['SET', 'owner', tenant])).toEqual({ value: 'OK' });
        await sql(tenant, 'create table facts (owner text)');
        await sql(tenant, `insert into facts values ('${tenant}')`);
      }
      for (const tenant of ['acme', 'globex']) {
        expect(await redis(tenant, ['GET', 'owner'])).toEqual({ value: tenant });
        expect(await sql(tenant, 'select owner from facts')).toEqual({ value: [{ owner: tenant }] });
      }
    });

    it('are no other tenant’s: not by name, not by password, not by address', async () => {
      const [own, other] = [await secretsOf('acme'), await secretsOf('globex')];
      expect(own['REDIS_PASSWORD']).not.toBe(other['REDIS_PASSWORD']);
      // The name is that of one's own service, whose password is another.
      expect((await redis('acme', ['GET', 'owner'], other['REDIS_URL'])).error).toMatch(/WRONGPASS|NOAUTH/);
      expect((await sql('acme', 'select owner from facts', other['POSTGRES_URL'])).error).toMatch(/28P01/);
      for (const host of ['redis.globex.service.berth.internal', 'globex/redis.service.berth.internal'])
        expect(
          (await redis('acme', ['PING'], `redis://:${other['REDIS_PASSWORD']}@${host}:6379`)).error,
        ).toMatch(/ENOTFOUND|EACCES|Invalid URL|ECONNREFUSED/);
      const local = `redis://:${other['REDIS_PASSWORD']}@127.0.0.1:6379`;
      expect((await redis('acme', ['PING'], local)).error).toMatch(/ECONNREFUSED/);
      const otherPort = `redis://${own['REDIS_HOST']}:22`;
      expect((await redis('acme', ['PING'], otherPort)).error).toMatch(/ECONNREFUSED/);
    });

    it('have no network, no capabilities, a user of their own, and their memory', async () => {
      const names = [...(await containers('redis')), ...(await containers('postgres'))];
      expect(names).toHaveLength(4);
      const format =
        '{{.HostConfig.NetworkMode}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.Memory}} {{.Config.User}} {{json .NetworkSettings.Ports}}';
      const shown = await Promise.all(names.map((name) => docker('inspect', '--format', format, name)));
      const users = shown.map((line) =>
        /^none true \[ALL\] (\d+) (47\d{4}:47\d{4}) (?:\{\}|null)$/.exec(line),
      );
      expect(new Set(users.map((user) => user?.[2])).size).toBe(4);
      expect(users.map((user) => Number(user?.[1])).sort()).toContain(128 * MiB);
      // A database's superuser runs programs: what they see is what an attacker gets.
      await sql('acme', 'create table if not exists seen (line text)');
      const read = 'while read line; do echo "$line"; done';
      const program = `${read} < /proc/net/dev; ${read} < /proc/self/status; id=$(echo > /etc/x) || echo refused`;
      await sql('acme', `copy seen from program '${program}' with (delimiter E'\\x01')`);
      const { value } = await sql('acme', 'select line from seen');
      const text = (value as { line: string }[]).map(({ line }) => line).join('\n');
      expect(text).toMatch(/^CapEff:\s+0+$/m);
      expect(text).toMatch(/^Uid:\s+47\d{4}/m);
      expect(text).toContain('refused');
      expect(
        [...text.matchAll(/^\s*(\w+):.*\d+\s+\d+\s+\d+\s+\d+\s+\d+\s+\d+\s+\d+\s+\d+/gm)]
          .map(([, name]) => name)
          .filter((name) => !/^(Uid|Gid|Cpus|Mems)/.test(name!)),
      ).toEqual(['lo']);
    });

    it('keep passwords out of the API, the database, the engine and the log', async () => {
      const passwords = [await secretsOf('acme'), await secretsOf('globex')].flatMap((secrets) => [
        secrets['REDIS_PASSWORD']!,
        secrets['POSTGRES_PASSWORD']!,
      ]);
      expect(new Set(passwords).size).toBe(4);
      const names = [...(await containers('redis')), ...(await containers('postgres'))];
      const files = readdirSync(platform.dataDir)
        .filter((name) => name.includes('sqlite') || name.includes('.db'))
        .map((name) => readFileSync(join(platform.dataDir, name), 'latin1'));
      expect(files.length).toBeGreaterThan(0);
      const texts = [
        JSON.stringify([await list('acme'), await list('globex')]),
        await docker('inspect', ...names),
        platform.output,
        ...files,
      ];
      for (const text of texts) for (const password of passwords) expect(text).not.toContain(password);
    });

    it('stop and start with what they keep', async () => {
      const stopped = await platform.must<Service>('POST', at('acme', '/redis/stop'));
      expect(stopped.state).toBe('stopped');
      expect(await containers('redis')).toHaveLength(1);
      expect((await redis('acme', ['GET', 'owner'])).error).toMatch(/ECONNREFUSED.*does not run/);
      expect(await redis('globex', ['GET', 'owner'])).toEqual({ value: 'globex' });
      await platform.must('POST', at('acme', '/redis/start'));
      expect(await redis('acme', ['GET', 'owner'])).toEqual({ value: 'acme' });
    });

    it('start again when they end by themselves', async () => {
      await redis('acme', ['SHUTDOWN', 'NOSAVE', 'FORCE']);
      await eventually(async () => {
        expect(await redis('acme', ['GET', 'owner'])).toEqual({ value: 'acme' });
      }, PATIENCE_MS);
      const metrics = await platform.must<string>('GET', '/metrics');
      expect(metrics).toMatch(/^berth_services\{state="running"\} 4$/m);
      expect(metrics).toMatch(/^berth_service_ends_total 1$/m);
    });

    it('survive a restart of the platform, and a kill: the same data, the same password', async () => {
      const before = await secretsOf('acme');
      const kept = async (): Promise<(number | null)[]> =>
        (await list('acme')).map(({ diskBytes }) => diskBytes);
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        await platform.end(signal);
        if (signal === 'SIGTERM') expect(await containers('redis')).toEqual([]);
        await platform.restart();
        expect(await secretsOf('acme')).toEqual(before);
        for (const tenant of ['acme', 'globex']) {
          // Who connects while it starts waits for it.
          await eventually(async () => {
            expect(await redis(tenant, ['GET', 'owner'])).toEqual({ value: tenant });
            expect(await sql(tenant, 'select owner from facts')).toEqual({ value: [{ owner: tenant }] });
          }, PATIENCE_MS);
        }
      }
      await eventually(async () => {
        const [postgres, ownRedis] = await kept();
        expect(postgres).toBeGreaterThan(MiB);
        expect(ownRedis).not.toBeNull();
      }, PATIENCE_MS);
      expect(await platform.metric('berth_service_disk_bytes')).toBeGreaterThan(2 * MiB);
    });

    it('rest while their tenant is suspended', async () => {
      await platform.must('PATCH', '/v1/tenants/globex', { state: 'suspended' });
      expect((await list('globex')).map(({ state }) => state)).toEqual(['stopped', 'stopped']);
      await platform.must('PATCH', '/v1/tenants/globex', { state: 'active' });
      await eventually(async () => {
        expect(await redis('globex', ['GET', 'owner'])).toEqual({ value: 'globex' });
      }, PATIENCE_MS);
    });

    it('are refused with words when they cannot be had', async () => {
      const code = async (tenant: string, body: object): Promise<string> =>
        (await platform.api<{ code: string }>('POST', at(tenant), body)).body.code;
      expect(await code('acme', { kind: 'oracle' })).toBe('SERVICE_KIND_UNKNOWN');
      expect(await code('acme', { kind: 'redis' })).toBe('CONFLICT');
      expect(await code('acme', { kind: 'redis', name: 'third' })).toBe('LIMIT_REACHED');
      expect(await code('acme', { kind: 'redis', name: 'x', memoryBytes: 512 * MiB })).toBe('LIMIT_REACHED');
      await platform.must('PATCH', '/v1/tenants/acme', { limits: { services: 3 } });
      expect(await code('acme', { kind: 'nothing' })).toBe('SERVICE_IMAGE_MISSING');
      expect((await list('acme')).map(({ name }) => name)).toEqual(['postgres', 'redis']);
      expect(await volumes()).toHaveLength(4);
    });

    it('are deleted with all that they keep', async () => {
      await platform.must('DELETE', at('acme', '/redis'));
      expect(await volumes()).toHaveLength(3);
      expect(await redis('acme', ['PING'])).toEqual({ error: 'there is no REDIS_URL' });
      expect(await redis('globex', ['GET', 'owner'])).toEqual({ value: 'globex' });
      await create('acme', { kind: 'redis' });
      expect(await redis('acme', ['GET', 'owner'])).toEqual({ value: null });
    });
  });
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}
