/** The table against what `npm run seccomp:measure -- --write` has seen Node do. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { seccompPolicy } from './policy.ts';
import { type SyscallName, syscallNumbers } from './syscall-numbers.ts';

const measured = JSON.parse(readFileSync(new URL('measured.json', import.meta.url), 'utf8')) as {
  node: string;
  syscalls: string[];
};
const allowed = seccompPolicy.allowed.flatMap(({ syscalls }) => syscalls) as string[];
const relatives = seccompPolicy.allowed.flatMap((group) => group.relatives) as string[];
const checked = seccompPolicy.checked.map(({ syscall }) => syscall) as string[];

/** libuv tries io_uring and does without when it is refused: it was left out for its history of holes. */
const REFUSED_THOUGH_USED = ['io_uring_enter', 'io_uring_setup'];

test('it was measured with the Node that runs tenants’ code', () => {
  expect(measured.node).toBe(process.version);
});

test('what Node uses is allowed, but for what it can do without', () => {
  const missing = measured.syscalls.filter((name) => !allowed.includes(name) && !checked.includes(name));
  expect(missing).toEqual(REFUSED_THOUGH_USED);
});

test('what is allowed was used, or is said to be a relative', () => {
  expect(allowed.filter((name) => !measured.syscalls.includes(name))).toEqual([]);
  expect(relatives.filter((name) => measured.syscalls.includes(name))).toEqual([]);
});

test('each relative has one in the measurement on both architectures, or stands for what arm64 has not', () => {
  for (const { name, syscalls, relatives: own } of seccompPolicy.allowed) {
    expect(own.length === 0 || syscalls.length > 0, name).toBe(true);
    const onArm64 = [...syscalls, ...own].filter(
      (syscall: SyscallName) => syscallNumbers[syscall][1] !== null,
    );
    expect(onArm64.length, name).toBeGreaterThan(0);
  }
});
