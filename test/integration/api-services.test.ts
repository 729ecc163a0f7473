/** Services over HTTP; that they really run is shown by test/e2e/services.test.ts. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ApiWorld } from './api-world.ts';

const MiB = 1024 * 1024;
const at = '/v1/tenants/acme/services';
let world: ApiWorld;

beforeAll(async () => {
  world = await ApiWorld.open();
  for (const id of ['acme', 'globex']) await world.must('POST', '/v1/tenants', { id });
});
afterAll(() => world.close());

it('one is made, shown without its password, stopped, started and deleted', async () => {
  const made = await world.send('POST', at, { kind: 'redis', name: 'my-cache', memoryBytes: 100 * MiB });
  expect(made.status).toBe(201);
  expect(made.body).toEqual({
    tenant: 'acme',
    name: 'my-cache',
    kind: 'redis',
    state: 'running',
    reason: null,
    host: 'my-cache.service.berth.internal',
    port: 6379,
    secrets: ['MY_CACHE_URL', 'MY_CACHE_HOST', 'MY_CACHE_PORT', 'MY_CACHE_PASSWORD'],
    memoryBytes: 100 * MiB,
    diskBytes: null,
    createdAt: expect.any(Number),
  });
  const [status] = world.services.all.values();
  expect(status!.record.password).toMatch(/^[A-Za-z0-9_-]{32}$/);
  const listed = await world.send('GET', at);
  expect(listed.body).toEqual({ items: [made.body] });
  expect(made.text + listed.text).not.toContain(status!.record.password);
  expect(await world.must('POST', `${at}/my-cache/stop`)).toMatchObject({ state: 'stopped' });
  expect(await world.must('POST', `${at}/my-cache/start`)).toMatchObject({ state: 'running' });
  expect((await world.send('DELETE', `${at}/my-cache`)).status).toBe(204);
  expect((await world.send('DELETE', `${at}/my-cache`)).status).toBe(404);
});

it('what does not fit is refused by name', async () => {
  const codeOf = async (body: object): Promise<unknown> => {
    const { status, body: problem } = await world.send('POST', at, body);
    const { code, name } = problem as { code?: string; name?: string };
    return [status, code, name];
  };
  expect(await codeOf({ kind: 'oracle' })).toEqual([400, 'SERVICE_KIND_UNKNOWN', undefined]);
  expect(await codeOf({ kind: 'redis', name: 'Big' })).toEqual([400, 'NAME_INVALID', undefined]);
  expect(await codeOf({ kind: 'redis', memoryBytes: 1 })).toEqual([400, 'BAD_REQUEST', undefined]);
  expect(await codeOf({ kind: 'redis', image: 'evil' })).toEqual([400, 'BAD_REQUEST', undefined]);
  const much = { kind: 'redis', memoryBytes: 512 * MiB };
  expect(await codeOf(much)).toEqual([409, 'LIMIT_REACHED', 'serviceMemoryBytes']);
  await world.must('PATCH', '/v1/tenants/acme', { limits: { services: 0 } });
  expect(await codeOf({ kind: 'redis' })).toEqual([409, 'LIMIT_REACHED', 'services']);
  await world.must('PATCH', '/v1/tenants/acme', { limits: {} });
  expect((await world.send('POST', '/v1/tenants/nobody/services', { kind: 'redis' })).status).toBe(404);
});

it('a tenant’s token leads to its own services alone', async () => {
  const token = await world.tokenOf('globex');
  await world.must('POST', at, { kind: 'redis' });
  for (const [method, path] of [
    ['GET', at],
    ['POST', at],
    ['POST', `${at}/redis/stop`],
    ['DELETE', `${at}/redis`],
  ] as const)
    expect(
      (
        await world.send(method, path, path === at && method === 'POST' ? { kind: 'redis' } : undefined, {
          token,
        })
      ).status,
    ).toBe(404);
  const own = await world.send('GET', '/v1/tenants/globex/services', undefined, { token });
  expect(own.body).toEqual({ items: [] });
});

it('they follow their tenant: suspended, otherwise isolated, deleted', async () => {
  world.services.settled.length = 0;
  await world.must('PATCH', '/v1/tenants/acme', { name: 'Acme' });
  expect(world.services.settled).toEqual([]);
  await world.must('PATCH', '/v1/tenants/acme', { state: 'suspended' });
  await world.must('PATCH', '/v1/tenants/acme', { state: 'active' });
  expect(world.services.settled).toEqual(['acme', 'acme']);
  await world.must('DELETE', '/v1/tenants/acme');
  expect(await world.services.list('acme' as never)).toEqual([]);
});
