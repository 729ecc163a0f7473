import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakePlatform } from '../client/testing/fake-platform.ts';
import { BerthError } from '../contracts/errors.ts';
import { Terminal } from './testing/terminal.ts';

const MiB = 1024 * 1024;
const at = '/v1/tenants/acme/services';
const redis = {
  name: 'redis',
  kind: 'redis',
  state: 'running',
  reason: null,
  host: 'redis.service.berth.internal',
  port: 6379,
  secrets: ['REDIS_URL', 'REDIS_HOST'],
  memoryBytes: 256 * MiB,
  diskBytes: 40 * MiB,
  createdAt: 0,
};
let platform: FakePlatform;
let terminal: Terminal;

beforeEach(async () => {
  platform = await FakePlatform.start();
  terminal = new Terminal();
  terminal.env = { BERTH_URL: platform.url, BERTH_TOKEN: platform.token, BERTH_TENANT: 'acme' };
});
afterEach(async () => {
  terminal.remove();
  await platform.close();
});

it('create makes one and says how functions reach it', async () => {
  platform.on('POST', at, () => redis);
  const made = await terminal.run(['service', 'create', 'redis', '--name', 'redis', '--memory', '256']);
  expect(made.code).toBe(0);
  expect(made.stdout).toContain('redis.service.berth.internal:6379');
  expect(made.stdout).toContain('REDIS_URL, REDIS_HOST');
  expect(platform.seen('POST', at).body).toEqual({ kind: 'redis', name: 'redis', memoryBytes: 256 * MiB });
});

it('ls lists them, and why one does not run; with --json as the platform tells it', async () => {
  const failed = { ...redis, name: 'orders', state: 'failed', reason: 'it ended by itself' };
  platform.on('GET', at, () => ({ items: [redis, failed] }));
  expect((await terminal.run(['service', 'ls'])).stdout).toMatch(/orders .*failed: it ended by itself/);
  const json = await terminal.run(['service', 'ls', '--json']);
  expect(JSON.parse(json.stdout)).toEqual([redis, failed]);
});

it('start, stop and rm name one', async () => {
  platform
    .on('POST', `${at}/redis/start`, () => redis)
    .on('POST', `${at}/redis/stop`, () => ({ ...redis, state: 'stopped' }))
    .on('DELETE', `${at}/redis`, () => undefined);
  expect((await terminal.run(['service', 'start', 'redis'])).stdout).toContain('is running');
  expect((await terminal.run(['service', 'stop', 'redis'])).stdout).toContain('is stopped');
  expect((await terminal.run(['service', 'rm', 'redis'])).stdout).toContain('is deleted');
});

it('a name that is none is told before anything is asked', async () => {
  const { code, stderr } = await terminal.run(['service', 'rm', '../x']);
  expect([code, platform.requests.length]).toEqual([2, 0]);
  expect(stderr).toContain('no name of a service');
});

it('what the platform refuses is an error with its way out', async () => {
  platform.on('POST', at, () => {
    throw new BerthError('SERVICE_IMAGE_MISSING', { image: 'redis:7' });
  });
  const { code, stderr } = await terminal.run(['service', 'create', 'redis']);
  expect(code).not.toBe(0);
  expect(stderr).toContain('docker pull redis:7');
});
