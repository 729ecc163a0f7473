/** What every store must do with deploys. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { functionNameSchema } from '../../src/contracts/ids.ts';
import type { FunctionSettings, Store, StoreChange } from '../../src/store/store.ts';
import {
  acme,
  codeOf,
  hello,
  newDeploy,
  type OpenedStore,
  other,
  revisionId,
  type StoreUnderTest,
  webtask,
  withAcme,
} from './store-fixtures.ts';

export function storeDeploySuite(name: string, open: () => Promise<OpenedStore>): void {
  describe(`the store on ${name}: deploys`, () => {
    let opened: StoreUnderTest;
    let store: Store;
    let changes: StoreChange[];

    beforeEach(async () => {
      opened = await withAcme(open);
      ({ store, changes } = opened);
    });
    afterEach(() => opened.close());

    describe('deploys', () => {
      it('makes function, revision, code and settings at once', async () => {
        const settings: FunctionSettings = {
          access: 'token',
          env: { B: '2', A: '1' },
          meta: { team: 'x' },
          webtask,
          secrets: { KEY: 'value' },
        };
        const plan = newDeploy(1, { settings });
        const { fn, revision } = await store.deploy({
          ...plan,
          revision: { ...plan.revision, nodeRange: '>=22' },
        });
        expect(fn).toEqual({
          tenant: acme,
          name: hello,
          access: 'token',
          activeRevision: revisionId(1),
          nodeRange: '>=22',
          env: { A: '1', B: '2' },
          meta: { team: 'x' },
          webtask,
          version: 1,
          createdAt: 1_000,
          updatedAt: 1_000,
        });
        expect(revision).toEqual({ ...plan.revision, nodeRange: '>=22', number: 1, createdAt: 1_000 });
        expect(await store.getFunction(acme, hello)).toEqual(fn);
        expect(await store.getRevision(acme, hello, revisionId(1))).toEqual(revision);
        expect(await store.getSecrets(acme, hello)).toEqual({ KEY: 'value' });
        expect(changes).toEqual([{ kind: 'function', tenant: acme, fn: hello }]);
      });

      it('gives a new function defaults', async () => {
        const { fn } = await store.deploy(newDeploy(1));
        expect(fn).toMatchObject({ access: 'public', env: {}, meta: {}, webtask: null });
        expect(await store.getSecrets(acme, hello)).toEqual({});
      });

      it('gives code back byte for byte, text or not', async () => {
        const contents = [
          'plain',
          '',
          'emoji \u{1f6a2} \ufeff',
          'nul \0 inside',
          '\ufeffwith a mark',
          Uint8Array.from([0xff, 0, 0xfe, 0x80]),
        ];
        for (const [n, code] of contents.entries()) {
          const request = newDeploy(n + 1, { code });
          await store.deploy(request);
          const read = await store.getCode(acme, hello, revisionId(n + 1));
          expect(Buffer.from(read!.code)).toEqual(Buffer.from(request.prepared.code));
          expect(Buffer.from(read!.source)).toEqual(Buffer.from(request.prepared.source));
          expect(Buffer.from(read!.sourceMap!).toString()).toBe('{"version":3}');
        }
        expect(await store.getCode(acme, hello, revisionId(99))).toBeNull();
      });

      it('changes nothing when the active revision is deployed with equal settings', async () => {
        const settings: FunctionSettings = {
          access: 'token',
          env: { A: '1', B: '2' },
          meta: { m: '1' },
          webtask,
          secrets: { S: 's', T: 't' },
        };
        const first = await store.deploy(newDeploy(1, { settings }));
        changes.length = 0;
        opened.setTime(5_000);
        const again: FunctionSettings = {
          access: 'token',
          env: { B: '2', A: '1' },
          meta: { m: '1' },
          webtask: { ...webtask, params: { a: '1', b: '2' } },
          secrets: { T: 't', S: 's' },
        };
        expect(await store.deploy(newDeploy(1, { settings: again }))).toEqual(first);
        expect(await store.deploy(newDeploy(1))).toEqual(first);
        expect(changes).toEqual([]);
      });

      it('raises the version with each setting that changes, and leaves the others', async () => {
        const base: FunctionSettings = {
          access: 'token',
          env: { A: '1' },
          meta: { m: '1' },
          webtask,
          secrets: { S: 's' },
        };
        await store.deploy(newDeploy(1, { settings: base }));
        const steps: FunctionSettings[] = [
          { access: 'public' },
          { env: { A: '2' } },
          { meta: {} },
          { webtask: { ...webtask, token: 'eyJ.new.token' } },
          { webtask: null },
          { secrets: { S: 'other' } },
          { secrets: {} },
        ];
        for (const [n, settings] of steps.entries()) {
          const { fn } = await store.deploy(newDeploy(1, { settings }));
          expect(fn.version).toBe(n + 2);
        }
        expect(await store.getFunction(acme, hello)).toMatchObject({
          access: 'public',
          env: { A: '2' },
          meta: {},
          webtask: null,
        });
        expect(await store.getSecrets(acme, hello)).toEqual({});
        expect(await store.listRevisions(acme, hello)).toHaveLength(1);
      });

      it('activates an older revision again under its number', async () => {
        await store.deploy(newDeploy(1));
        await store.deploy(newDeploy(2));
        opened.setTime(9_000);
        const { fn, revision } = await store.deploy(newDeploy(1));
        expect(fn).toMatchObject({ activeRevision: revisionId(1), version: 3 });
        expect(revision).toMatchObject({ number: 1, createdAt: 1_000 });
        const { revision: third } = await store.deploy(newDeploy(3));
        expect(third.number).toBe(3);
      });

      it('needs the tenant, and leaves nothing behind without it', async () => {
        expect(await codeOf(store.deploy(newDeploy(1, { tenant: other })))).toBe('NOT_FOUND');
        expect(await opened.countCode()).toBe(0);
        expect(changes).toEqual([]);
      });

      it('refuses one function too many but not a new revision, and counts deleted ones off', async () => {
        const names = ['a', 'b', 'c'].map((one) => functionNameSchema.parse(one));
        await store.deploy(newDeploy(1, { fn: names[0]!, maxFunctions: 2 }));
        await store.deploy(newDeploy(1, { fn: names[1]!, maxFunctions: 2 }));
        expect(await codeOf(store.deploy(newDeploy(1, { fn: names[2]!, maxFunctions: 2 })))).toBe(
          'LIMIT_REACHED',
        );
        await store.deploy(newDeploy(2, { fn: names[0]!, maxFunctions: 2 }));
        await store.deleteFunction(acme, names[0]!);
        await store.deploy(newDeploy(1, { fn: names[2]!, maxFunctions: 2 }));
        const left = await store.listFunctions(acme, { limit: 10 });
        expect(left.map(({ name }) => name)).toEqual(['b', 'c']);
      });

      it('prunes the oldest inactive revisions with their code, never the active one', async () => {
        for (let n = 1; n <= 4; n++) await store.deploy(newDeploy(n, { keepRevisions: 3 }));
        expect((await store.listRevisions(acme, hello)).map(({ number }) => number)).toEqual([4, 3, 2]);
        expect(await store.getCode(acme, hello, revisionId(1))).toBeNull();
        expect(await opened.countCode()).toBe(4);
        await store.activate(acme, hello, revisionId(2));
        await store.deploy(newDeploy(2, { keepRevisions: 2, settings: { meta: { now: 'pruned' } } }));
        expect((await store.listRevisions(acme, hello)).map(({ number }) => number)).toEqual([4, 2]);
        await store.deploy(newDeploy(2, { keepRevisions: 1, settings: { meta: {} } }));
        expect((await store.listRevisions(acme, hello)).map(({ number }) => number)).toEqual([2]);
      });

      it('keeps bytecode for one target, and drops it with the revision', async () => {
        const bytecode = (target: string) => ({ target, bytes: Buffer.from(`\0${target}`) });
        const read = async (target: string): Promise<string | null> =>
          (await store.getBytecode(newDeploy(1).revision, target))?.toString() ?? null;
        await store.deploy(newDeploy(1, { bytecode: bytecode('24.0.0-x64') }));
        expect(await read('24.0.0-x64')).toBe('\u000024.0.0-x64');
        expect(await read('24.1.0-x64')).toBeNull();
        const own = await opened.countCode();
        // The same content again, made by another Node: no new revision, and what is active stays so.
        await store.deploy(newDeploy(1, { bytecode: bytecode('24.1.0-x64') }));
        expect(await read('24.0.0-x64')).toBeNull();
        expect(await read('24.1.0-x64')).toBe('\u000024.1.0-x64');
        await store.deploy(newDeploy(1));
        expect(await read('24.1.0-x64')).not.toBeNull();
        expect(await opened.countCode()).toBe(own);
        expect(changes).toHaveLength(1);
        expect((await store.getCode(acme, hello, revisionId(1)))?.code.toString()).toContain(
          'module.exports',
        );
        await store.deleteFunction(acme, hello);
        expect(await opened.countCode()).toBe(0);
      });

      it('shares equal code within a tenant, and drops it with the last revision', async () => {
        const second = functionNameSchema.parse('second');
        await store.createTenant({ id: other, name: 'Other', limits: {} });
        await store.deploy(newDeploy(1, { code: 'same' }));
        await store.deploy(newDeploy(1, { code: 'same', fn: second }));
        expect(await opened.countCode()).toBe(2);
        await store.deploy(newDeploy(1, { code: 'same', tenant: other }));
        expect(await opened.countCode()).toBe(4);
        await store.deleteFunction(acme, hello);
        expect((await store.getCode(acme, second, revisionId(1)))?.code.toString()).toBe('same');
        await store.deleteFunction(acme, second);
        expect(await opened.countCode()).toBe(2);
      });

      it('keeps every one of many deploys made at once, and sends their events in order', async () => {
        const numbers = Array.from({ length: 30 }, (_, n) => n + 1);
        const done = await Promise.all(numbers.map((n) => store.deploy(newDeploy(n))));
        expect(done.map(({ revision }) => revision.number)).toEqual(numbers);
        expect(done.map(({ fn }) => fn.version)).toEqual(numbers);
        expect(changes).toHaveLength(30);
      });
    });
  });
}
