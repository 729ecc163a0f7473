import { beforeEach, expect, it } from 'vitest';
import { type TenantId, tenantIdSchema } from '../contracts/ids.ts';
import { effectiveLimits } from '../contracts/limits.ts';
import type { Tenant } from '../contracts/model.ts';
import { EphemeralPrograms } from './ephemeral.ts';

const MIB = 1024 * 1024;
const ids = ['a1', 'a2', 'a3', 'a4'].map((id) => tenantIdSchema.parse(id));
const [first] = ids as [TenantId];
let tenants: Map<TenantId, Tenant>;
let retired: string[];
let programs: EphemeralPrograms;

beforeEach(() => {
  retired = [];
  tenants = new Map(ids.map((id) => [id, { id, state: 'active', limits: { wallMs: 1_234 } } as Tenant]));
  programs = new EphemeralPrograms({
    preparer: {
      prepare: ({ source, filename }) =>
        Promise.resolve({
          form: 'webtask',
          isFormFixed: false,
          moduleKind: 'commonjs',
          language: 'javascript',
          prepared: { code: source, sourceMap: null, source },
          evaluate: 'script',
          filename,
        }),
    },
    tenantOf: (id) => tenants.get(id) ?? null,
    limitsOf: (tenant) => effectiveLimits(tenant.limits),
    retire: (key) => retired.push(key),
  });
});

it('keeps 64 MiB in all, the latest', async () => {
  const keys: string[] = [];
  // Each counts twice: prepared, and as it came.
  for (const id of ids) keys.push((await programs.take(id, Buffer.alloc(10 * MIB))).key);
  expect(retired).toEqual([keys[0]]);
  const huge = await programs.take(first, Buffer.alloc(40 * MIB));
  expect(retired).toEqual(keys);
  expect(await programs.take(first, Buffer.alloc(40 * MIB))).toBe(huge);
  expect(retired).toEqual(keys);
});

it('gives no program to a sandbox when its tenant is suspended or gone, and remembers its limits', async () => {
  const runnable = await programs.take(first, Buffer.from('1'));
  expect((await runnable.load()).length).toBeGreaterThan(0);
  tenants.set(first, { ...tenants.get(first)!, state: 'suspended' });
  await expect(runnable.load()).rejects.toMatchObject({ code: 'TENANT_SUSPENDED' });
  await expect(programs.take(first, Buffer.from('1'))).rejects.toMatchObject({ code: 'TENANT_SUSPENDED' });
  tenants.delete(first);
  await expect(runnable.load()).rejects.toMatchObject({ code: 'NOT_FOUND' });
  expect(runnable.limits().wallMs).toBe(1_234);
});
