/** What every store must do with tenants and functions. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { functionNameSchema, tenantIdSchema } from '../../src/contracts/ids.ts';
import type { Store, StoreChange } from '../../src/store/store.ts';
import {
  acme,
  codeOf,
  hello,
  line,
  newDeploy,
  type OpenedStore,
  other,
  revisionId,
  type StoreUnderTest,
  webtask,
  withAcme,
} from './store-fixtures.ts';

export function storeFunctionSuite(name: string, open: () => Promise<OpenedStore>): void {
  describe(`the store on ${name}: tenants and functions`, () => {
    let opened: StoreUnderTest;
    let store: Store;
    let changes: StoreChange[];

    beforeEach(async () => {
      opened = await withAcme(open);
      ({ store, changes } = opened);
    });
    afterEach(() => opened.close());

    describe('tenants', () => {
      it('keeps what a tenant was created with', async () => {
        const egress = ['api.example.com:443', '*.example.org'];
        const own = { limits: { queue: 7 }, egress, isolation: 'hardened' as const };
        const created = await store.createTenant({ id: other, name: 'Other', ...own });
        expect(created).toEqual({
          id: other,
          name: 'Other',
          state: 'active',
          ...own,
          tokensValidFrom: 0,
          createdAt: 1_000,
          updatedAt: 1_000,
        });
        expect(await store.getTenant(other)).toEqual(created);
        expect(changes).toEqual([{ kind: 'tenant', tenant: other }]);
      });

      it('refuses a second tenant of the same id and keeps the first', async () => {
        expect(await codeOf(store.createTenant({ id: acme, name: 'Again', limits: {} }))).toBe('CONFLICT');
        expect((await store.getTenant(acme))?.name).toBe('Acme');
        expect(changes).toEqual([]);
      });

      it('lists by id in ascending order, a page at a time', async () => {
        for (const id of ['zeta', 'beta', 'a1', 'a-1'])
          await store.createTenant({ id: tenantIdSchema.parse(id), name: id, limits: {} });
        const first = await store.listTenants({ limit: 3 });
        const rest = await store.listTenants({ limit: 3, after: first.at(-1)!.id });
        expect([...first, ...rest].map(({ id }) => id)).toEqual(['a-1', 'a1', 'acme', 'beta', 'zeta']);
        expect(await store.countTenants()).toBe(5);
      });

      it('changes only what is given', async () => {
        opened.setTime(2_000);
        const updated = await store.updateTenant(acme, { state: 'suspended', tokensValidFrom: 1_500 });
        expect(updated).toMatchObject({
          name: 'Acme',
          egress: 'public',
          state: 'suspended',
          tokensValidFrom: 1_500,
          createdAt: 1_000,
          updatedAt: 2_000,
        });
        expect((await store.updateTenant(acme, { egress: 'none' })).egress).toBe('none');
        expect((await store.getTenant(acme))?.egress).toBe('none');
        expect(await codeOf(store.updateTenant(other, { name: 'x' }))).toBe('NOT_FOUND');
      });

      it('deletes a tenant with all that it owns and touches no other', async () => {
        await store.createTenant({ id: other, name: 'Other', limits: {} });
        for (const tenant of [acme, other]) {
          await store.deploy(newDeploy(1, { tenant, settings: { secrets: { KEY: 'v' } } }));
          await store.addTenantKey({
            kind: 'jwks',
            id: 'k1',
            tenant,
            url: 'https://a.example/jwks',
            createdAt: 1,
            revokedAt: null,
          });
          await store.appendLogs([line(1, { tenant })]);
        }
        changes.length = 0;
        expect(await store.deleteTenant(acme)).toBe(true);
        expect(await store.deleteTenant(acme)).toBe(false);
        expect(changes).toEqual([
          { kind: 'tenant', tenant: acme },
          { kind: 'keys', tenant: acme },
        ]);
        await store.createTenant({ id: acme, name: 'New', limits: {} });
        expect(await store.getFunction(acme, hello)).toBeNull();
        expect(await store.listRevisions(acme, hello)).toEqual([]);
        expect(await store.getSecrets(acme, hello)).toEqual({});
        expect(await store.listTenantKeys(acme)).toEqual([]);
        expect(await store.queryLogs({ tenant: acme, limit: 10 })).toEqual([]);
        expect(await store.getSecrets(other, hello)).toEqual({ KEY: 'v' });
        expect(await store.listTenantKeys(other)).toHaveLength(1);
        expect(await store.queryLogs({ tenant: other, limit: 10 })).toHaveLength(1);
        expect(await opened.countCode()).toBe(2);
      });
    });

    describe('functions', () => {
      beforeEach(async () => {
        await store.deploy(newDeploy(1, { settings: { secrets: { A: '1' } } }));
        changes.length = 0;
      });

      it('updates settings, and says nothing when they are equal', async () => {
        const updated = await store.updateFunction(acme, hello, { access: 'token', env: { X: 'y' } });
        expect(updated).toMatchObject({ access: 'token', env: { X: 'y' }, version: 2 });
        expect(await store.updateFunction(acme, hello, { access: 'token', secrets: { A: '1' } })).toEqual(
          updated,
        );
        expect(changes).toHaveLength(1);
        expect(await codeOf(store.updateFunction(other, hello, {}))).toBe('NOT_FOUND');
      });

      it('activates a revision that is there', async () => {
        await store.deploy(newDeploy(2));
        expect(await store.activate(acme, hello, revisionId(1))).toMatchObject({
          activeRevision: revisionId(1),
          version: 3,
        });
        expect(await store.activate(acme, hello, revisionId(1))).toMatchObject({ version: 3 });
        expect(await codeOf(store.activate(acme, hello, revisionId(9)))).toBe('NOT_FOUND');
        expect(await codeOf(store.activate(other, hello, revisionId(1)))).toBe('NOT_FOUND');
      });

      it('lists names in ascending order, a page at a time, and streams all of all tenants', async () => {
        await store.createTenant({ id: other, name: 'Other', limits: {} });
        for (const fn of ['b', 'B', 'a', '~z'].map((one) => functionNameSchema.parse(one)))
          await store.deploy(newDeploy(1, { fn }));
        await store.deploy(newDeploy(1, { tenant: other, settings: { webtask } }));
        const first = await store.listFunctions(acme, { limit: 2 });
        const rest = await store.listFunctions(acme, { limit: 9, after: first[1]!.name });
        expect([...first, ...rest].map((fn) => fn.name)).toEqual(['B', 'a', 'b', 'hello', '~z']);
        const all: string[] = [];
        for await (const fn of store.eachFunction()) {
          all.push(`${fn.tenant}/${fn.name}`);
          await store.ping(); // a reader in the middle may use the store
        }
        expect(all).toEqual(['acme/B', 'acme/a', 'acme/b', 'acme/hello', 'acme/~z', 'other/hello']);
      });

      it('deletes a function with its revisions, code and secrets', async () => {
        expect(await store.deleteFunction(acme, hello)).toBe(true);
        expect(await store.deleteFunction(acme, hello)).toBe(false);
        expect(changes).toEqual([{ kind: 'function', tenant: acme, fn: hello }]);
        expect(await opened.countCode()).toBe(0);
        const { fn, revision } = await store.deploy(newDeploy(2));
        expect(fn.version).toBe(1);
        expect(revision.number).toBe(1);
        expect(await store.getSecrets(acme, hello)).toEqual({});
      });

      it('sets, replaces and deletes one secret', async () => {
        expect(await store.setSecret(acme, hello, { name: 'B', value: '2', max: 2 })).toMatchObject({
          version: 2,
        });
        expect(await store.setSecret(acme, hello, { name: 'B', value: '2', max: 2 })).toMatchObject({
          version: 2,
        });
        expect(await store.setSecret(acme, hello, { name: 'B', value: '3', max: 2 })).toMatchObject({
          version: 3,
        });
        expect(await codeOf(store.setSecret(acme, hello, { name: 'C', value: '', max: 2 }))).toBe(
          'LIMIT_REACHED',
        );
        expect(await store.setSecret(acme, hello, { name: 'A', value: null, max: 2 })).toMatchObject({
          version: 4,
        });
        expect(await store.setSecret(acme, hello, { name: 'A', value: null, max: 2 })).toMatchObject({
          version: 4,
        });
        expect(await store.getSecrets(acme, hello)).toEqual({ B: '3' });
        const { createdAt } = (await store.getFunction(acme, hello))!;
        const versioned = { version: 4, createdAt, secrets: { B: '3' } };
        expect(await store.getVersionedSecrets(acme, hello)).toEqual(versioned);
        await store.setSecret(acme, hello, { name: 'B', value: null, max: 2 });
        expect(await store.getVersionedSecrets(acme, hello)).toEqual({ version: 5, createdAt, secrets: {} });
        expect(await store.getVersionedSecrets(other, hello)).toBeNull();
        expect(await codeOf(store.setSecret(other, hello, { name: 'A', value: '1', max: 2 }))).toBe(
          'NOT_FOUND',
        );
      });

      it('keeps a secret called like a member of every object', async () => {
        for (const name of ['constructor', '__proto__'])
          await store.setSecret(acme, hello, { name, value: 'v', max: 9 });
        const secrets = await store.getSecrets(acme, hello);
        expect(Object.keys(secrets).toSorted()).toEqual(['A', '__proto__', 'constructor']);
      });
    });
  });
}
