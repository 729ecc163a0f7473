/** What every store must do with keys, tokens, logs and events. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BerthError } from '../../src/contracts/errors.ts';
import { functionNameSchema } from '../../src/contracts/ids.ts';
import type { TenantKey } from '../../src/contracts/model.ts';
import type { Store, StoreChange } from '../../src/store/store.ts';
import {
  acme,
  codeOf,
  hello,
  line,
  newDeploy,
  type OpenedStore,
  other,
  type StoreUnderTest,
  withAcme,
} from './store-fixtures.ts';

export function storeKeysSuite(name: string, open: () => Promise<OpenedStore>): void {
  describe(`the store on ${name}: keys, logs and events`, () => {
    let opened: StoreUnderTest;
    let store: Store;
    let changes: StoreChange[];

    beforeEach(async () => {
      opened = await withAcme(open);
      ({ store, changes } = opened);
    });
    afterEach(() => opened.close());

    describe('keys and tokens', () => {
      const hs256: TenantKey = {
        kind: 'hs256',
        id: 'h',
        tenant: acme,
        secret: Buffer.alloc(32, 1),
        createdAt: 1,
        revokedAt: null,
      };

      it('keeps the keys of a tenant, and their revocation', async () => {
        const jwks: TenantKey = {
          kind: 'jwks',
          id: 'j',
          tenant: acme,
          url: 'https://a.example/jwks',
          createdAt: 2,
          revokedAt: null,
        };
        const jwe: TenantKey = { ...hs256, kind: 'jwe', id: 'e', secret: Buffer.alloc(32, 2), createdAt: 3 };
        for (const key of [hs256, jwks, jwe]) await store.addTenantKey(key);
        expect(await codeOf(store.addTenantKey(hs256))).toBe('CONFLICT');
        expect(await codeOf(store.addTenantKey({ ...hs256, tenant: other }))).toBe('NOT_FOUND');
        expect(await store.revokeTenantKey(acme, 'j', 7)).toBe(true);
        expect(await store.revokeTenantKey(acme, 'j', 8)).toBe(true);
        expect(await store.revokeTenantKey(other, 'h', 7)).toBe(false);
        const read = (await store.listTenantKeys(acme)).map((key) =>
          key.kind === 'jwks' ? key : { ...key, secret: Buffer.from(key.secret) },
        );
        expect(read).toEqual([hs256, { ...jwks, revokedAt: 7 }, jwe]);
        expect(changes).toEqual(Array.from({ length: 4 }, () => ({ kind: 'keys', tenant: acme })));
      });

      it('takes no more keys of a tenant than it may have, however many come at once', async () => {
        const most = { live: 3, kept: 4 };
        const added = (id: string) => store.addTenantKey({ ...hs256, id }, most).then(() => 'added');
        const add = (id: string) => added(id).catch((error: unknown) => (error as BerthError).code);
        const ids = ['a', 'b', 'c', 'd', 'e'];
        const codes = await Promise.all(ids.map(add));
        // Each is sealed by a thread of its own, so that any three of them may be the first.
        expect(codes.toSorted()).toEqual(['LIMIT_REACHED', 'LIMIT_REACHED', 'added', 'added', 'added']);
        const [first = '', second = ''] = ids.filter((_, at) => codes[at] === 'added');
        const [late = '', later = ''] = ids.filter((_, at) => codes[at] !== 'added');
        expect(await store.listTenantKeys(acme)).toHaveLength(3);
        await store.revokeTenantKey(acme, first, 7);
        expect([await add(late), await add(first), await add(later)]).toEqual([
          'added',
          'CONFLICT',
          'LIMIT_REACHED',
        ]);
        await store.revokeTenantKey(acme, second, 7);
        expect(await add(later)).toBe('LIMIT_REACHED');
        expect(changes).toHaveLength(6);
      });

      it('keeps the keys of the platform', async () => {
        const key = {
          id: 'p1',
          secret: Buffer.alloc(32, 3),
          createdAt: 1,
          retiredAt: null,
          revokedAt: null,
        };
        await store.addPlatformKey(key);
        await store.addPlatformKey({ ...key, id: 'p2', createdAt: 2 });
        await store.updatePlatformKey('p1', { retiredAt: 5 });
        await store.updatePlatformKey('p1', { revokedAt: 6 });
        expect(await codeOf(store.addPlatformKey(key))).toBe('CONFLICT');
        expect(await codeOf(store.updatePlatformKey('p9', { retiredAt: 5 }))).toBe('NOT_FOUND');
        const read = (await store.listPlatformKeys()).map((one) => ({
          ...one,
          secret: Buffer.from(one.secret),
        }));
        expect(read).toEqual([
          { ...key, retiredAt: 5, revokedAt: 6 },
          { ...key, id: 'p2', createdAt: 2 },
        ]);
      });

      it('remembers revoked tokens until they expire', async () => {
        await store.revokeToken('forever', null);
        await store.revokeToken('soon', 2_000);
        await store.revokeToken('soon', 9_000);
        expect(await store.listRevokedTokens(1_999)).toHaveLength(2);
        expect(await store.listRevokedTokens(2_000)).toEqual([{ jti: 'forever', expiresAt: null }]);
        opened.setTime(500_000);
        await store.revokeToken('later', 600_000);
        expect((await store.listRevokedTokens(0)).map(({ jti }) => jti).toSorted()).toEqual([
          'forever',
          'later',
        ]);
        expect(changes).toEqual([
          { kind: 'token-revoked', jti: 'forever', expiresAt: null },
          { kind: 'token-revoked', jti: 'soon', expiresAt: 2_000 },
          { kind: 'token-revoked', jti: 'later', expiresAt: 600_000 },
        ]);
      });

      it('refuses a tenant more revoked tokens than its limit, and nobody else', async () => {
        const among = { prefix: 'acme/', max: 2 };
        await store.revokeToken('acme/1', null, among);
        await store.revokeToken('acme/2', 2_000, among);
        expect(await codeOf(store.revokeToken('acme/3', null, among))).toBe('LIMIT_REACHED');
        await store.revokeToken('acme/1', null, among);
        await store.revokeToken('acme-2/1', null, { prefix: 'acme-2/', max: 1 });
        await store.revokeToken('acme0', null);
        opened.setTime(500_000);
        await store.revokeToken('acme/4', null, among);
        const ids = (await store.listRevokedTokens(0)).map(({ jti }) => jti);
        expect(ids.toSorted()).toEqual(['acme-2/1', 'acme/1', 'acme/4', 'acme0']);
        expect(changes).toHaveLength(5);
      });
    });

    describe('logs', () => {
      it('gives records back newest first, by function, invocation, time and id', async () => {
        const second = functionNameSchema.parse('second');
        await store.appendLogs([line(1), line(2, { fn: second }), line(3, { text: 'a\0b' })]);
        const all = await store.queryLogs({ tenant: acme, limit: 10 });
        expect(all.map(({ text }) => text)).toEqual(['a\u2400b', 'line 2', 'line 1']);
        expect(all[1]).toEqual({ ...line(2, { fn: second }), id: all[1]!.id });
        expect(await store.queryLogs({ tenant: acme, fn: second, limit: 10 })).toEqual([all[1]]);
        expect(await store.queryLogs({ tenant: acme, invocation: 'i1', limit: 10 })).toEqual([all[2]]);
        expect(await store.queryLogs({ tenant: acme, before: all[0]!.id, limit: 1 })).toEqual([all[1]]);
        expect(await store.queryLogs({ tenant: acme, since: 1_003, limit: 10 })).toEqual([all[0]]);
        expect(await store.queryLogs({ tenant: other, limit: 10 })).toEqual([]);
      });

      it('keeps the newest of a tenant when pruned, and all of the others', async () => {
        await store.createTenant({ id: other, name: 'Other', limits: {} });
        const many = Array.from({ length: 5_000 }, (_, n) => line(n));
        await store.appendLogs([line(0, { tenant: other }), ...many]);
        await store.pruneLogs(acme, 10_000);
        expect(await store.queryLogs({ tenant: acme, limit: 10_000 })).toHaveLength(5_000);
        await store.pruneLogs(acme, 3);
        const left = await store.queryLogs({ tenant: acme, limit: 10_000 });
        expect(left.map(({ text }) => text)).toEqual(['line 4999', 'line 4998', 'line 4997']);
        expect(await store.queryLogs({ tenant: other, limit: 10 })).toHaveLength(1);
      });

      it('takes no line of a tenant that is not there', async () => {
        await store.appendLogs([line(1, { tenant: other }), line(2)]);
        await store.createTenant({ id: other, name: 'Other', limits: {} });
        expect(await store.queryLogs({ tenant: other, limit: 10 })).toEqual([]);
        expect(await store.queryLogs({ tenant: acme, limit: 10 })).toHaveLength(1);
      });
    });

    describe('events', () => {
      it('come after the change can be read, and end when the listener is removed', async () => {
        const seen: Promise<unknown>[] = [];
        const stop = store.onChange(() => seen.push(store.getFunction(acme, hello)));
        await store.deploy(newDeploy(1));
        stop();
        await store.deploy(newDeploy(2));
        expect(seen).toHaveLength(1);
        expect(await seen[0]).not.toBeNull();
      });

      it('survive a listener that throws', async () => {
        const stop = store.onChange(() => {
          throw new Error('a broken listener');
        });
        await store.deploy(newDeploy(1));
        stop();
        expect(changes).toHaveLength(1);
      });
    });

    it('refuses changes after it was closed', async () => {
      await store.close();
      expect(await codeOf(store.deploy(newDeploy(1)))).toBe('STORE_UNAVAILABLE');
      await expect(store.ping()).rejects.toThrow(/destroyed|closed|not open/);
    });
  });
}
