import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { functionNameSchema, tenantIdSchema } from '../contracts/ids.ts';
import { platformLimits } from '../contracts/limits.ts';
import { builtInKinds } from '../contracts/services.ts';
import type { DriverFacts } from '../drivers/driver.ts';
import { FakeClock } from '../kernel/testing/fake-clock.ts';
import { ownTarget } from '../modules/bytecode-target.ts';
import { MasterKey } from '../store/master-key.ts';
import { openSqliteStore } from '../store/sqlite/open-sqlite-store.ts';
import type { Store } from '../store/store.ts';
import type { ControlDeps } from './control-deps.ts';
import type { Control } from './control.ts';
import { createControl } from './create-control.ts';
import { factsOf } from '../drivers/testing/facts.ts';
import { FakeServices } from '../services/testing/fake-services.ts';

const acme = tenantIdSchema.parse('acme');
const hello = functionNameSchema.parse('hello');
const clock = new FakeClock();
let dir: string;
let store: Store;
/** What happened, in order. */
let events: string[];
let control: Control;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'berth-control-'));
  const log = { warn: () => undefined, error: () => undefined };
  store = await openSqliteStore({ dir, masterKey: new MasterKey(Buffer.alloc(32, 1)), clock, log });
  store.onChange((change) => void events.push(`stored ${change.kind}`));
  events = [];
  control = createControl(deps());
});

afterEach(async () => {
  await store.close();
  await rm(dir, { recursive: true });
});

const noGaps: DriverFacts = factsOf();

function deps(change: Partial<ControlDeps> = {}): ControlDeps {
  return {
    store,
    preparer: {
      prepare: async ({ source, filename }) => ({
        prepared: { code: source, source, sourceMap: null },
        form: 'webtask',
        isFormFixed: false,
        moduleKind: 'commonjs',
        language: 'javascript',
        evaluate: 'script',
        filename,
      }),
      makeBytecode: async () => null,
      close: async () => undefined,
    },
    issuer: { issue: async () => ({ token: 't', jti: 'j' }) },
    limits: { revisions: 3, functions: 2, codeBytes: 1_024 },
    facts: noGaps,
    acceptedGaps: [],
    directorySettled: async () => {
      await Promise.resolve();
      events.push('settled');
    },
    sandboxes: {
      applyLimits: async () => void events.push('limits applied'),
      evict: async () => void events.push('evicted'),
      facts: () => noGaps,
      rollout: async () => noGaps,
    },
    services: new FakeServices(),
    serviceKinds: builtInKinds,
    clock,
    random: (size) => Buffer.alloc(size, 9),
    sleep: async (ms) => void events.push(`slept ${ms}`),
    ...change,
  };
}

const deploy = (text: string, fn = hello) =>
  control.deploy({ tenant: acme, fn, source: Buffer.from(text), settings: {} });

describe('a change is acknowledged', () => {
  beforeEach(async () => {
    await control.createTenant({ id: acme });
    events = [];
  });

  it('after a deploy when the directory has taken it in', async () => {
    await deploy('1');
    events.push('acknowledged');
    expect(events).toEqual(['stored function', 'settled', 'acknowledged']);
  });

  it('after new limits when live sandboxes have them', async () => {
    await control.updateTenant(acme, { limits: { pids: 99 } });
    expect(events).toEqual(['stored tenant', 'settled', 'limits applied']);
  });

  it('after suspending when the sandboxes are gone', async () => {
    await control.updateTenant(acme, { state: 'suspended' });
    expect(events).toEqual(['stored tenant', 'settled', 'evicted']);
  });

  it('after deleting a tenant when its routes are gone first, and then its sandboxes', async () => {
    await control.deleteTenant(acme);
    expect(events[0]).toBe('stored tenant');
    expect(events.slice(-2)).toEqual(['settled', 'evicted']);
    await expect(control.getTenant(acme)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('after revoking a token when all who listen to the store have heard', async () => {
    await control.revokeToken(acme, 'abc', null);
    expect(events).toEqual(['stored token-revoked']);
  });

  it('after revoking all tokens when the second in which they were issued is over', async () => {
    await clock.advance(400);
    await control.revokeAllTokens(acme);
    const { tokensValidFrom } = await control.getTenant(acme);
    expect(tokensValidFrom % 1_000).toBe(0);
    expect(tokensValidFrom).toBeGreaterThan(clock.now());
    expect(events.at(-1)).toBe(`slept ${tokensValidFrom - clock.now()}`);
  });
});

describe('a deploy', () => {
  beforeEach(async () => void (await control.createTenant({ id: acme })));

  it('keeps as many revisions as the operator says, the active one among them', async () => {
    for (const text of ['1', '2', '3', '4', '5']) await deploy(text);
    const revisions = await control.listRevisions(acme, hello);
    expect(revisions.map(({ number }) => number)).toEqual([5, 4, 3]);
  });

  it('beyond the number of functions is refused by the name of the limit', async () => {
    for (const name of ['a', 'b']) await deploy('1', functionNameSchema.parse(name));
    await expect(deploy('1', functionNameSchema.parse('c'))).rejects.toMatchObject({
      code: 'LIMIT_REACHED',
      facts: { name: 'functions', limit: 2 },
    });
  });

  it('gets bytecode when it is large, once', async () => {
    const made: string[] = [];
    const bytecode = { target: ownTarget, bytes: Buffer.from('bytecode') };
    const makeBytecode = async (owner: string) => {
      made.push(owner);
      return bytecode;
    };
    const { preparer } = deps();
    const limits = { codeBytes: 1_024 * 1_024 };
    control = createControl(deps({ limits, preparer: { ...preparer, makeBytecode } }));
    await deploy('small');
    expect(made).toEqual([]);
    const large = 'x'.repeat(platformLimits.bytecodeFromBytes.value);
    const { revision } = await deploy(large);
    expect(await store.getBytecode(revision, ownTarget)).toEqual(bytecode.bytes);
    await deploy(large);
    expect(made).toEqual([acme]);
  });

  it('that is too large is refused before it is compiled', async () => {
    let isCompiled = false;
    control = createControl(
      deps({
        preparer: {
          prepare: () => {
            isCompiled = true;
            return Promise.reject(new Error('not to be called'));
          },
          makeBytecode: async () => null,
          close: async () => undefined,
        },
      }),
    );
    const source = Buffer.alloc(1_025);
    const refused = { code: 'CODE_TOO_LARGE', facts: { size: 1_025, limit: 1_024 } };
    await expect(control.deploy({ tenant: acme, fn: hello, source, settings: {} })).rejects.toMatchObject(
      refused,
    );
    const withMap = { tenant: acme, fn: hello, source: Buffer.from('1'), sourceMap: source, settings: {} };
    await expect(control.deploy(withMap)).rejects.toMatchObject(refused);
    expect(isCompiled).toBe(false);
  });

  it('for a tenant that is not there is refused', async () => {
    const tenant = tenantIdSchema.parse('nobody');
    const request = { tenant, fn: hello, source: Buffer.from('1'), settings: {} };
    await expect(control.deploy(request)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('a rollback', () => {
  beforeEach(async () => void (await control.createTenant({ id: acme })));

  it('goes one revision back each time, until there is none', async () => {
    const ids = [];
    for (const text of ['1', '2', '3']) ids.push((await deploy(text)).revision.id);
    expect((await control.rollback(acme, hello)).activeRevision).toBe(ids[1]);
    expect((await control.rollback(acme, hello)).activeRevision).toBe(ids[0]);
    await expect(control.rollback(acme, hello)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(control.rollback(acme, functionNameSchema.parse('none'))).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });
});

it('limits are those of the table, then the operator, then the tenant', async () => {
  const tenant = await control.createTenant({ id: acme, limits: { functions: 7 } });
  expect(control.limitsOf(tenant)).toMatchObject({ functions: 7, revisions: 3, wallMs: 30_000 });
});

it('of tenants made at the same time on a driver with gaps, one is made', async () => {
  control = createControl(deps({ facts: { ...noGaps, gaps: new Map([['seccomp', 'no']]) } }));
  const ids = ['a', 'b', 'c', 'd'].map((id) => tenantIdSchema.parse(id));
  const results = await Promise.allSettled(ids.map((id) => control.createTenant({ id })));
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected']);
  await control.deleteTenant(ids[0]!);
  await expect(control.createTenant({ id: ids[1]! })).resolves.toMatchObject({ id: 'b' });
});
