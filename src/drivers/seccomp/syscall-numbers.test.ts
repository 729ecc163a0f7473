/** The table against the kernel's own headers, as Debian's linux-libc-dev installs them (gcc's libc6-dev brings it along). */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { syscallNumbers } from './syscall-numbers.ts';

const entries = Object.entries(syscallNumbers);
/** From here on all architectures give a new call the same number (Documentation/process/adding-syscalls.rst). */
const FIRST_COMMON_NUMBER = 424;

interface Source {
  readonly architecture: string;
  readonly at: 0 | 1;
  readonly header: string;
  /** Before the header is read. */
  readonly defines: readonly string[];
}

const sources: readonly Source[] = [
  { architecture: 'x86-64', at: 0, header: '/usr/include/x86_64-linux-gnu/asm/unistd_64.h', defines: [] },
  {
    architecture: 'arm64',
    at: 1,
    header: '/usr/include/asm-generic/unistd.h',
    // arch/arm64/include/uapi/asm/unistd.h is these lines and the generic header; one on x86-64 has only the latter.
    defines: [
      '__ARCH_WANT_RENAMEAT',
      '__ARCH_WANT_NEW_STAT',
      '__ARCH_WANT_SET_GET_RLIMIT',
      '__ARCH_WANT_TIME32_SYSCALLS',
      '__ARCH_WANT_SYS_CLONE3',
      '__ARCH_WANT_MEMFD_SECRET',
    ],
  },
];

/** @returns the numbers by name; null: there is no preprocessor */
function numbersOf({ header, defines }: Source): ReadonlyMap<string, number> | null {
  const flags = [...defines.map((name) => `-D${name}`), '-E', '-dM', '-include', header, '-'];
  const { status, stdout, stderr, error } = spawnSync('gcc', flags, { encoding: 'utf8', input: '' });
  if (error !== undefined) return null;
  if (status !== 0) throw new Error(stderr);
  const macros = new Map(
    [...stdout.matchAll(/^#define (__NR\w*) (\w+)$/gm)].map(([, name, value]) => [name!, value!]),
  );
  const resolve = (value: string): number => Number(macros.has(value) ? resolve(macros.get(value)!) : value);
  return new Map(
    [...macros.keys()]
      .filter((name) => name.startsWith('__NR_') && name !== '__NR_syscalls')
      .map((name) => [name.slice('__NR_'.length), resolve(name)]),
  );
}

test.for(sources)('each number of $architecture is the kernel’s', (source, { skip }) => {
  skip(!existsSync(source.header), `${source.header} is missing: apt-get install linux-libc-dev`);
  const numbers = numbersOf(source);
  skip(numbers === null, 'gcc is missing');
  expect(numbers!.size).toBeGreaterThan(300);
  const newest = Math.max(...numbers!.values());
  for (const [name, both] of entries) {
    const own = both[source.at];
    // A call that is newer than the headers has a number above all of theirs, the same one everywhere.
    if (own !== null && own > newest) expect([name, both[0]]).toEqual([name, both[1]]);
    else expect([name, own]).toEqual([name, numbers!.get(name) ?? null]);
  }
});

test('calls that are as new as that have the same number on both', () => {
  const common = entries.filter(([, both]) => both.some((number) => (number ?? 0) >= FIRST_COMMON_NUMBER));
  expect(common.length).toBeGreaterThan(10);
  for (const [name, [x64, arm64]] of common) expect([name, x64]).toEqual([name, arm64]);
});

test('no number is given twice', () => {
  for (const at of [0, 1] as const) {
    const given = entries.flatMap(([, both]) => both[at] ?? []);
    expect(new Set(given).size).toBe(given.length);
  }
});
