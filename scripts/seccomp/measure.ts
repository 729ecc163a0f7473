/**
 * `npm run seccomp:measure [-- --write]`: which system calls Node makes (Debian's strace over exercise.mjs, on this machine's
 * architecture), against the reviewed table: what is used but not allowed, and what is allowed but was never used. `--write`
 * keeps the measurement in src/drivers/seccomp/measured.json, which a unit test holds against the table.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seccompPolicy } from '../../src/drivers/seccomp/policy.ts';
import { type SyscallName, syscallNumbers } from '../../src/drivers/seccomp/syscall-numbers.ts';

const exercise = new URL('exercise.mjs', import.meta.url).pathname;
const measured = new URL('../../src/drivers/seccomp/measured.json', import.meta.url).pathname;
const TRACE_MS = 300_000;
/** They do not return, so strace does not count them. */
const UNCOUNTED = ['exit', 'exit_group'];
/** What arm64 has in place of a call that it has not: asm-generic/unistd.h knows only the newer ones. */
const successors: Partial<Record<SyscallName, SyscallName>> = {
  access: 'faccessat',
  chmod: 'fchmodat',
  chown: 'fchownat',
  creat: 'openat',
  dup2: 'dup3',
  epoll_create: 'epoll_create1',
  epoll_wait: 'epoll_pwait',
  eventfd: 'eventfd2',
  fork: 'clone',
  getdents: 'getdents64',
  inotify_init: 'inotify_init1',
  lchown: 'fchownat',
  link: 'linkat',
  lstat: 'newfstatat',
  mkdir: 'mkdirat',
  open: 'openat',
  pipe: 'pipe2',
  poll: 'ppoll',
  readlink: 'readlinkat',
  rename: 'renameat2',
  rmdir: 'unlinkat',
  select: 'pselect6',
  stat: 'newfstatat',
  symlink: 'symlinkat',
  unlink: 'unlinkat',
  utimes: 'utimensat',
  vfork: 'clone',
};

function trace(): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'berth-trace-'));
  try {
    const out = join(folder, 'counts');
    const argv = ['-f', '-qq', '-c', '-U', 'name', '-S', 'name', '-o', out, process.execPath, exercise];
    const { status, error, stderr } = spawnSync('strace', argv, { encoding: 'utf8', timeout: TRACE_MS });
    if (status !== 0)
      throw new Error(`strace (apt-get install strace) did not measure: ${error?.message ?? stderr}`);
    const names = readFileSync(out, 'utf8')
      .split('\n')
      .map((line) => line.trim());
    const found = names.filter((name) => /^[a-z]\w*$/.test(name) && name !== 'syscall' && name !== 'total');
    return [...new Set([...found, ...UNCOUNTED])].toSorted();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function say(what: string, names: readonly string[]): void {
  console.log(`${what} (${names.length}): ${names.length === 0 ? 'none' : names.join(' ')}`);
}

/** On arm64 the same code makes the same calls, or their successors: measured on x86-64, looked up for arm64. */
function onArm64(used: readonly string[]): string[] {
  const known = used.filter((name): name is SyscallName => Object.hasOwn(syscallNumbers, name));
  const names = known.map((name) => (syscallNumbers[name][1] === null ? successors[name] : name));
  return [...new Set(names.filter((name) => name !== undefined))].toSorted();
}

function compare(architecture: 'x86-64' | 'arm64', used: readonly string[]): void {
  const column = architecture === 'x86-64' ? 0 : 1;
  const exists = (name: SyscallName): boolean => syscallNumbers[name][column] !== null;
  const allowed = seccompPolicy.allowed
    .flatMap(({ syscalls, relatives }) => [...syscalls, ...relatives])
    .filter(exists);
  const checked = seccompPolicy.checked.map(({ syscall }) => syscall);
  const permitted = new Set<string>([...allowed, ...checked]);
  console.log(`\n${architecture}: ${allowed.length} allowed, ${checked.length} checked by their arguments`);
  say(
    '  used but not allowed',
    used.filter((name) => !permitted.has(name)),
  );
  say(
    '  allowed but never used',
    allowed.filter((name) => !used.includes(name)),
  );
}

const used = trace();
say(`used by Node ${process.version} on ${process.arch}`, used);
if (process.arch === 'x64') compare('x86-64', used);
compare('arm64', process.arch === 'x64' ? onArm64(used) : used);
if (process.argv.includes('--write')) {
  const record = { node: process.version, architecture: process.arch, syscalls: used };
  writeFileSync(measured, `${JSON.stringify(record, null, 2)}\n`);
  console.log(`\nwritten: ${measured}`);
}
