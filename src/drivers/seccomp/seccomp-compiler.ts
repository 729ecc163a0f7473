/** Compiles the policy to a seccomp filter for one architecture. */
import { BpfAssembler, type Instruction } from './bpf.ts';
import { type ArgumentTest, type CheckedSyscall, errnos, type SeccompPolicy } from './policy.ts';
import { type SyscallName, syscallNumbers } from './syscall-numbers.ts';

export type Architecture = 'x64' | 'arm64';

/** linux/audit.h AUDIT_ARCH_*: which ABI made the call; i386 and 32-bit ARM calls carry another one. */
const auditArchitectures: Readonly<Record<Architecture, number>> = { x64: 0xc000_003e, arm64: 0xc000_00b7 };
/** x32 calls on x86-64 carry this bit (asm/unistd.h __X32_SYSCALL_BIT). */
const X32_BIT = 0x4000_0000;
/** linux/seccomp.h */
const ALLOW = 0x7fff_0000;
const ERRNO = 0x0005_0000;
/** Offsets in `struct seccomp_data`. */
const OFFSET_NUMBER = 0;
const OFFSET_ARCHITECTURE = 4;
const OFFSET_ARGUMENTS = 16;

const allowLabel = 'allow';
type Action = 'allow' | 'EPERM' | 'ENOSYS';

/** One stretch of system call numbers with the same answer, starting at `from`. */
interface Range {
  readonly from: number;
  readonly action: Action;
}

/** @throws RangeError when the policy names a call twice or does not fit a BPF program */
export function compilePolicy(policy: SeccompPolicy, architecture: Architecture): Instruction[] {
  const assembler = new BpfAssembler();
  assembler.loadWord(OFFSET_ARCHITECTURE);
  assembler.jumpIfEqual(auditArchitectures[architecture], 'native');
  assembler.jump(`errno ${policy.foreign}`);
  assembler.label('native');
  assembler.loadWord(OFFSET_NUMBER);
  assembler.jumpIfAtLeast(X32_BIT, `errno ${policy.foreign}`);
  const checked = policy.checked.filter(({ syscall }) => numberOf(syscall, architecture) !== null);
  for (const { syscall } of checked) {
    assembler.jumpIfEqual(numberOf(syscall, architecture) ?? 0, `check ${syscall}`);
  }
  emitSearch(assembler, rangesOf(policy, architecture));
  for (const check of checked) emitCheck(assembler, check);
  emitAnswers(assembler);
  return assembler.assemble();
}

function numberOf(name: SyscallName, architecture: Architecture): number | null {
  return syscallNumbers[name][architecture === 'x64' ? 0 : 1];
}

/** Neighbouring numbers with the same answer are merged; calls without a name take the answer for unknown ones. */
function rangesOf(policy: SeccompPolicy, architecture: Architecture): Range[] {
  const actions = new Map<number, Action>();
  const name = (syscall: SyscallName, action: Action): void => {
    const number = numberOf(syscall, architecture);
    if (number === null) return;
    if (actions.has(number)) throw new RangeError(`${syscall} stands twice in the seccomp policy`);
    actions.set(number, action);
  };
  for (const { syscalls, relatives } of policy.allowed)
    for (const syscall of [...syscalls, ...relatives]) name(syscall, 'allow');
  for (const group of policy.refused) for (const syscall of group.syscalls) name(syscall, 'EPERM');
  for (const { syscall, otherwise } of policy.checked) name(syscall, otherwise);
  const ranges: Range[] = [];
  const last = Math.max(...actions.keys());
  for (let number = 0; number <= last + 1; number += 1) {
    const action = actions.get(number) ?? policy.unknown;
    if (ranges.at(-1)?.action !== action) ranges.push({ from: number, action });
  }
  return ranges;
}

/** A binary search over the ranges; the number is in the accumulator. */
function emitSearch(assembler: BpfAssembler, ranges: readonly Range[]): void {
  const [only] = ranges;
  if (ranges.length === 1 && only !== undefined) {
    assembler.jump(only.action === 'allow' ? allowLabel : `errno ${only.action}`);
    return;
  }
  const middle = ranges.length >> 1;
  const upper = assembler.newLabel('upper');
  assembler.jumpIfAtLeast(ranges[middle]?.from ?? 0, upper);
  emitSearch(assembler, ranges.slice(0, middle));
  assembler.label(upper);
  emitSearch(assembler, ranges.slice(middle));
}

function emitCheck(assembler: BpfAssembler, check: CheckedSyscall): void {
  assembler.label(`check ${check.syscall}`);
  for (const test of check.allowWhen) emitTest(assembler, test, `errno ${check.otherwise}`);
  assembler.jump(allowLabel);
}

function emitTest(assembler: BpfAssembler, test: ArgumentTest, refused: string): void {
  const passed = assembler.newLabel('passed');
  assembler.loadWord(OFFSET_ARGUMENTS + test.argument * 8);
  if (test.mask !== undefined) assembler.and(test.mask);
  for (const value of test.oneOf) assembler.jumpIfEqual(value, passed);
  assembler.jump(refused);
  assembler.label(passed);
}

function emitAnswers(assembler: BpfAssembler): void {
  for (const errno of ['EPERM', 'ENOSYS'] as const) {
    assembler.label(`errno ${errno}`);
    assembler.return(ERRNO | errnos[errno]);
  }
  assembler.label(allowLabel);
  assembler.return(ALLOW);
}
