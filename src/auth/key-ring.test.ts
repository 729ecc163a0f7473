import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tenantIdSchema } from '../contracts/ids.ts';
import { ensureAdminToken } from './admin-token.ts';
import { KeyRing } from './key-ring.ts';
import { ensurePlatformKey, rotatePlatformKey } from './platform-keys.ts';
import { RevocationList } from './revocation-list.ts';
import { acme, type AuthFixture, authFixture, MemoryKeys } from './testing/auth-fixture.ts';

describe('the key ring', () => {
  it('loads a tenant once, and again after a refresh', async () => {
    const keys = new MemoryKeys();
    const ring = new KeyRing(keys);
    const states = await Promise.all([ring.tenant(acme), ring.tenant(acme)]);
    expect(states[0]).toBe(states[1]);
    expect(ring.currentTenant(acme)).toBe(states[0]);
    ring.refresh(acme);
    expect(ring.currentTenant(acme)).toBeNull();
    await ring.tenant(acme);
    expect(keys.loads).toBe(2);
  });

  it('does not keep what was being loaded when it was refreshed', async () => {
    const ring = new KeyRing(new MemoryKeys());
    const loading = ring.platform();
    ring.refresh(null);
    await loading;
    expect(ring.currentPlatform()).toBeNull();
  });

  it('is bounded: the tenant that was not asked for longest goes', async () => {
    const ring = new KeyRing(new MemoryKeys(), { maxTenants: 2 });
    const [a, b, c] = ['a', 'b', 'c'].map((id) => tenantIdSchema.parse(id)) as [
      typeof acme,
      typeof acme,
      typeof acme,
    ];
    for (const id of [a, b, a, c]) await ring.tenant(id);
    expect([a, b, c].map((id) => ring.currentTenant(id) !== null)).toEqual([true, false, true]);
  });

  it('tries again after a load that failed', async () => {
    const keys = new MemoryKeys();
    const list = keys.listPlatformKeys.bind(keys);
    keys.listPlatformKeys = () => Promise.reject(new Error('disk'));
    const ring = new KeyRing(keys);
    await expect(ring.platform()).rejects.toThrow('disk');
    keys.listPlatformKeys = list;
    expect((await ring.platform()).signing).toBeNull();
  });
});

describe('the platform’s keys', () => {
  it('are made once, and rotated without a moment that none signs', async () => {
    const keys = new MemoryKeys();
    const clock = { now: () => 1_000 };
    const first = await ensurePlatformKey({ store: keys, clock });
    expect(await ensurePlatformKey({ store: keys, clock })).toBe(first);
    expect(keys.platform[0]!.secret).toHaveLength(32);
    const second = await rotatePlatformKey({ store: keys, clock: { now: () => 2_000 } });
    expect(keys.platform.map(({ id, retiredAt }) => [id, retiredAt])).toEqual([
      [first, 2_000],
      [second, null],
    ]);
    expect(await ensurePlatformKey({ store: keys, clock })).toBe(second);
    expect((await new KeyRing(keys).platform()).signing?.id).toBe(second);
    await keys.updatePlatformKey(second, { revokedAt: 3_000 });
    expect(await ensurePlatformKey({ store: keys, clock })).not.toBe(second);
  });
});

describe('the list of revoked tokens', () => {
  it('forgets what has expired and nothing else', () => {
    const clock = { time: 0, now: () => clock.time };
    const list = new RevocationList({ clock });
    list.load([
      { jti: 'a', expiresAt: 10_000 },
      { jti: 'b', expiresAt: null },
    ]);
    clock.time = 80_000;
    list.add({ jti: 'c', expiresAt: null });
    expect(['a', 'b', 'c'].map((jti) => list.hasAny([jti]))).toEqual([false, true, true]);
  });

  it('keeps the expiry that it heard first', () => {
    const clock = { time: 0, now: () => clock.time };
    const list = new RevocationList({ clock });
    list.add({ jti: 'ends', expiresAt: 1_000 });
    list.add({ jti: 'ends', expiresAt: null });
    list.add({ jti: 'stays', expiresAt: null });
    list.add({ jti: 'stays', expiresAt: 1_000 });
    clock.time = 100_000;
    list.add({ jti: 'new', expiresAt: null });
    expect(['ends', 'stays', 'new'].map((jti) => list.hasAny([jti]))).toEqual([false, true, true]);
  });
});

describe('the operator’s token', () => {
  let dir: string;
  let auth: AuthFixture;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'berth-admin-'));
    auth = await authFixture();
  });
  afterEach(() => rm(dir, { recursive: true }));

  const ensure = () => ensureAdminToken({ file: join(dir, 'admin-token'), ...auth });

  it('is written once, for the platform’s user only, and kept', async () => {
    const first = await ensure();
    expect(first.isNew).toBe(true);
    expect(await readFile(join(dir, 'admin-token'), 'utf8')).toBe(`${first.token}\n`);
    expect((await stat(join(dir, 'admin-token'))).mode & 0o777).toBe(0o600);
    expect(await readdir(dir)).toEqual(['admin-token']);
    expect(await ensure()).toEqual({ token: first.token, isNew: false });
    expect((await auth.verifier.verify(first.token, null)).scopes.has('operator')).toBe(true);
  });

  it('is issued again when the file is gone, broken, of another platform, or not the operator’s', async () => {
    const { token: tenants } = await auth.issuer.issue({ scopes: ['manage'], tenant: acme });
    const foreign = await (await authFixture()).issuer.issue({ scopes: ['operator'], tenant: null });
    const seen = new Set<string>();
    for (const content of [null, '', 'garbage', 'x'.repeat(100_000), foreign.token, tenants]) {
      await rm(join(dir, 'admin-token'), { force: true });
      if (content !== null) await writeFile(join(dir, 'admin-token'), content, { mode: 0o644 });
      const { token, isNew } = await ensure();
      expect(isNew).toBe(true);
      expect((await stat(join(dir, 'admin-token'))).mode & 0o777).toBe(0o600);
      seen.add(token);
    }
    expect(seen.size).toBe(6);
  });
});
