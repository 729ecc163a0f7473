import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { encodeProgram, type Instruction, MAX_INSTRUCTIONS, opcode } from './bpf.ts';
import { seccompPolicy } from './policy.ts';
import { type Architecture, compilePolicy } from './seccomp-compiler.ts';
import { type SyscallName, syscallNumbers } from './syscall-numbers.ts';

const architectures = { x64: 0xc000_003e, arm64: 0xc000_00b7 } as const;
const ALLOW = 0x7fff_0000;
const EPERM = 0x0005_0001;
const ENOSYS = 0x0005_0026;

interface SeccompData {
  readonly nr: number;
  readonly arch: number;
  readonly args: readonly bigint[];
}

/** Runs a filter as the kernel does: the accumulator, loads from seccomp_data, forward jumps, return. */
function runFilter(program: readonly Instruction[], data: SeccompData): number {
  const memory = Buffer.alloc(64);
  memory.writeUInt32LE(data.nr >>> 0, 0);
  memory.writeUInt32LE(data.arch, 4);
  data.args.forEach((value, index) => memory.writeBigUInt64LE(BigInt.asUintN(64, value), 16 + index * 8));
  let accumulator = 0;
  for (let at = 0; at < program.length; at += 1) {
    const { code, k, jumpTrue, jumpFalse } = program[at]!;
    if (code === opcode.loadWord) accumulator = memory.readUInt32LE(k);
    else if (code === opcode.and) accumulator = (accumulator & k) >>> 0;
    else if (code === opcode.jump) at += k;
    else if (code === opcode.jumpEqual) at += accumulator === k ? jumpTrue : jumpFalse;
    else if (code === opcode.jumpGreaterOrEqual) at += accumulator >= k ? jumpTrue : jumpFalse;
    else if (code === opcode.return) return k;
    else throw new Error(`opcode ${code}`);
  }
  throw new Error('ran off the end');
}

describe.each(['x64', 'arm64'] as const)('the seccomp filter for %s', (architecture: Architecture) => {
  const program = compilePolicy(seccompPolicy, architecture);
  const arch = architectures[architecture];
  const numberOf = (name: SyscallName): number | null => syscallNumbers[name][architecture === 'x64' ? 0 : 1];
  const call = (name: SyscallName, ...args: number[]): number =>
    runFilter(program, { nr: numberOf(name)!, arch, args: args.map(BigInt) });

  test('fits the kernel’s limit and encodes eight bytes an instruction', () => {
    expect(program.length).toBeLessThanOrEqual(MAX_INSTRUCTIONS);
    expect(encodeProgram(program)).toHaveLength(program.length * 8);
  });

  test('allows each call of the allowed groups', () => {
    for (const name of seccompPolicy.allowed.flatMap((group) => [...group.syscalls, ...group.relatives])) {
      if (numberOf(name) !== null) expect([name, call(name)]).toEqual([name, ALLOW]);
    }
  });

  test('refuses each call of the refused groups with EPERM', () => {
    for (const name of seccompPolicy.refused.flatMap((group) => group.syscalls)) {
      if (numberOf(name) !== null) expect([name, call(name)]).toEqual([name, EPERM]);
    }
  });

  test('answers ENOSYS to every number without a name', () => {
    const named = new Set(Object.keys(syscallNumbers).map((name) => numberOf(name as SyscallName)));
    for (let nr = 0; nr < 1024; nr += 1) {
      if (!named.has(nr)) expect([nr, runFilter(program, { nr, arch, args: [] })]).toEqual([nr, ENOSYS]);
    }
  });

  test('refuses other ABIs, even for calls that are allowed natively', () => {
    expect(runFilter(program, { nr: numberOf('read')!, arch: 0x4000_0003, args: [] })).toBe(EPERM);
    expect(runFilter(program, { nr: numberOf('read')!, arch: 0x4000_0028, args: [] })).toBe(EPERM);
    expect(runFilter(program, { nr: 0x4000_0000 + numberOf('read')!, arch, args: [] })).toBe(EPERM);
    expect(runFilter(program, { nr: -1, arch, args: [] })).toBe(EPERM);
  });

  test('lets clone make threads and forks but no namespace', () => {
    expect(call('clone', 0x3d0f00)).toBe(ALLOW);
    expect(call('clone', 17)).toBe(ALLOW);
    for (const flag of [
      0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000,
    ]) {
      expect(call('clone', flag | 17)).toBe(EPERM);
    }
    expect(call('clone3', 0)).toBe(ENOSYS);
  });

  test('lets socket make Unix, TCP and UDP sockets only', () => {
    expect(call('socket', 1, 1 | 0x80000, 0)).toBe(ALLOW);
    expect(call('socket', 2, 1 | 0x800, 6)).toBe(ALLOW);
    expect(call('socket', 10, 2, 17)).toBe(ALLOW);
    expect(call('socket', 2, 3, 0)).toBe(EPERM);
    expect(call('socket', 2, 2, 1)).toBe(EPERM);
    for (const family of [3, 16, 17, 31, 38, 40, 44])
      expect([family, call('socket', family, 2, 0)]).toEqual([family, EPERM]);
    expect(call('socketpair', 1, 1, 0)).toBe(ALLOW);
    expect(call('socketpair', 30, 1, 0)).toBe(EPERM);
  });

  test('looks at the 32 bits of an argument that the kernel looks at', () => {
    const family = (0x1n << 32n) | 16n;
    expect(runFilter(program, { nr: numberOf('socket')!, arch, args: [family, 2n, 0n] })).toBe(EPERM);
    const command = (0x7n << 32n) | 0x5412n;
    expect(runFilter(program, { nr: numberOf('ioctl')!, arch, args: [0n, command] })).toBe(EPERM);
  });

  test('checks ioctl, prctl and personality by argument', () => {
    expect(call('ioctl', 0, 0x5401)).toBe(ALLOW);
    expect(call('ioctl', 0, 0x5412)).toBe(EPERM);
    expect(call('ioctl', 0, 0x541c)).toBe(EPERM);
    expect(call('prctl', 15)).toBe(ALLOW);
    expect(call('prctl', 22)).toBe(EPERM);
    expect(call('personality', 0xffffffff)).toBe(ALLOW);
    expect(call('personality', 0x0040000)).toBe(EPERM);
  });
});

test('the numbers of the architectures are those of linux/audit.h', ({ skip }) => {
  const input = '#include <linux/audit.h>\nAUDIT_ARCH_X86_64 AUDIT_ARCH_AARCH64\n';
  const { status, stdout, error } = spawnSync('gcc', ['-E', '-P', '-'], { encoding: 'utf8', input });
  skip(error !== undefined || status !== 0, 'gcc or linux-libc-dev is missing');
  const found = stdout.trim().split('\n').at(-1)!.split(' ').map(orOf);
  expect(found).toEqual([architectures.x64, architectures.arm64]);
});

/** Of `(62|0x80000000|0x40000000)`: no two share a bit. */
function orOf(text: string): number {
  return [...text.matchAll(/\w+/g)].reduce((sum, [number]) => sum + Number(number), 0);
}

test('a policy that names a call twice is refused', () => {
  const doubled = { ...seccompPolicy, refused: [{ name: 'x', reason: 'x', syscalls: ['read'] as const }] };
  expect(() => compilePolicy(doubled, 'x64')).toThrow(/twice/);
});
