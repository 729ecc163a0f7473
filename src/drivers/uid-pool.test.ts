import { expect, test } from 'vitest';
import { claimAbstractSocket, type Claim, UidPool } from './uid-pool.ts';

function claims(taken: readonly string[] = []): { claim: Claim; names: Set<string> } {
  const names = new Set(taken);
  const claim: Claim = (name) => {
    if (names.has(name)) return Promise.resolve(null);
    names.add(name);
    return Promise.resolve(() => void names.delete(name));
  };
  return { claim, names };
}

test('a uid is given to one sandbox at a time, also when many ask at once', async () => {
  const pool = new UidPool({ first: 1_000, count: 600 }, claims().claim);
  const uids = await Promise.all(Array.from({ length: 600 }, () => pool.take()));
  expect(new Set(uids).size).toBe(600);
  expect(Math.min(...uids)).toBe(1_000);
  expect(Math.max(...uids)).toBe(1_599);
});

test('a used-up range is an error, and a released uid can be had again', async () => {
  const pool = new UidPool({ first: 5, count: 1 }, claims().claim);
  expect(await pool.take()).toBe(5);
  await expect(pool.take()).rejects.toThrow(RangeError);
  pool.release(5);
  pool.release(5);
  expect(await pool.take()).toBe(5);
  await expect(pool.take()).rejects.toThrow(RangeError);
});

test('a released uid goes to the end of the line', async () => {
  const pool = new UidPool({ first: 0, count: 256 }, claims().claim);
  const first = await pool.take();
  pool.release(first);
  expect(await pool.take()).not.toBe(first);
});

test('blocks of another platform are left alone, and own ones are given back', async () => {
  const { claim, names } = claims(['berth-uids-0']);
  const pool = new UidPool({ first: 0, count: 512 }, claim);
  expect(await pool.take()).toBe(256);
  pool.close();
  expect([...names]).toEqual(['berth-uids-0']);
});

test('an abstract socket has one owner on the host', async () => {
  const name = `berth-test-${process.pid}-${Date.now()}`;
  const release = await claimAbstractSocket(name);
  expect(release).not.toBeNull();
  expect(await claimAbstractSocket(name)).toBeNull();
  release?.();
  const again = await claimAbstractSocket(name);
  expect(again).not.toBeNull();
  again?.();
});
