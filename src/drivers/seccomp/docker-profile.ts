/**
 * The policy as Docker wants it: its seccomp JSON (docs.docker.com/engine/security/seccomp), which libseccomp compiles on
 * the engine's host. Some things cannot be said there: a call that fails its check answers as an unknown one does (EPERM
 * before Docker 23, which does not read `defaultErrnoRet`), and calls of another ABI end the thread, they do not answer.
 */
import { type ArgumentTest, type CheckedSyscall, errnos, type SeccompPolicy } from './policy.ts';
import type { Architecture } from './seccomp-compiler.ts';

interface DockerArgument {
  readonly index: number;
  /** `SCMP_CMP_MASKED_EQ`: (argument & value) == valueTwo */
  readonly op: 'SCMP_CMP_MASKED_EQ';
  readonly value: number;
  readonly valueTwo: number;
}

interface DockerRule {
  readonly names: readonly string[];
  readonly action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO';
  readonly errnoRet?: number;
  readonly args?: readonly DockerArgument[];
}

export interface DockerSeccompProfile {
  readonly defaultAction: 'SCMP_ACT_ERRNO';
  readonly defaultErrnoRet: number;
  readonly architectures: readonly string[];
  readonly syscalls: readonly DockerRule[];
}

const architectures: Readonly<Record<Architecture, string>> = {
  x64: 'SCMP_ARCH_X86_64',
  arm64: 'SCMP_ARCH_AARCH64',
};
/** TIOCSPGRP: the engine's init asks for the foreground of its terminal, and goes on only when told that there is none. */
const initNeeds: CheckedSyscall = {
  syscall: 'ioctl',
  reason: 'tini, which Docker runs as first process',
  allowWhen: [{ argument: 1, oneOf: [0x5410] }],
  otherwise: 'EPERM',
};
/** The kernel reads the checked arguments as 32 bits. */
const WORD = 0xffff_ffff;

/** libseccomp skips names that its architecture does not have. */
export function dockerProfile(policy: SeccompPolicy, architecture: Architecture): DockerSeccompProfile {
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: errnos[policy.unknown],
    architectures: [architectures[architecture]],
    syscalls: [
      {
        names: policy.allowed.flatMap(({ syscalls, relatives }) => [...syscalls, ...relatives]),
        action: 'SCMP_ACT_ALLOW',
      },
      {
        names: policy.refused.flatMap(({ syscalls }) => syscalls),
        action: 'SCMP_ACT_ERRNO',
        errnoRet: errnos.EPERM,
      },
      ...[...policy.checked, initNeeds].flatMap(rulesOf),
    ],
  };
}

/** One rule for each way in which all tests can hold: rules are alternatives, the arguments of one rule are not. */
function rulesOf({ syscall, allowWhen, otherwise }: CheckedSyscall): DockerRule[] {
  const ways = allowWhen.reduce<readonly (readonly DockerArgument[])[]>(
    (before, test) => before.flatMap((way) => test.oneOf.map((value) => [...way, argumentOf(test, value)])),
    [[]],
  );
  // Without any way in, its own answer can be given.
  if (ways.length === 0) return [{ names: [syscall], action: 'SCMP_ACT_ERRNO', errnoRet: errnos[otherwise] }];
  return ways.map((args) => ({ names: [syscall], action: 'SCMP_ACT_ALLOW', args }));
}

function argumentOf({ argument, mask = WORD }: ArgumentTest, valueTwo: number): DockerArgument {
  return { index: argument, op: 'SCMP_CMP_MASKED_EQ', value: mask, valueTwo };
}
