import { expect, test } from 'vitest';
import { dockerProfile } from './docker-profile.ts';
import { seccompPolicy } from './policy.ts';

const profile = dockerProfile(seccompPolicy, 'x64');
const rulesOf = (name: string) => profile.syscalls.filter(({ names }) => names.includes(name));

test('what the policy allows is allowed, what it refuses answers EPERM, the rest does not exist', () => {
  // The second is a relative: runc itself needs it to start anything.
  for (const name of ['openat', 'fstatfs'])
    expect(rulesOf(name)).toMatchObject([{ action: 'SCMP_ACT_ALLOW' }]);
  expect(rulesOf('ptrace')).toMatchObject([{ action: 'SCMP_ACT_ERRNO', errnoRet: 1 }]);
  expect(profile).toMatchObject({ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 38 });
  expect(profile.architectures).toEqual(['SCMP_ARCH_X86_64']);
});

test('every call of the policy is named once, but for the alternatives of a checked one', () => {
  const checked = new Set(seccompPolicy.checked.map(({ syscall }) => syscall as string));
  const names = profile.syscalls.flatMap((rule) => rule.names).filter((name) => !checked.has(name));
  expect(new Set(names).size).toBe(names.length);
});

test('alternatives are rules of their own; what must hold together is one rule', () => {
  expect(rulesOf('socket')).toHaveLength(3 * 2 * 3);
  for (const { args } of rulesOf('socket')) expect(args?.map(({ index }) => index)).toEqual([0, 1, 2]);
  expect(rulesOf('clone')[0]?.args).toEqual([
    { index: 0, op: 'SCMP_CMP_MASKED_EQ', value: 0x7e02_0000, valueTwo: 0 },
  ]);
});

test('a call that is never allowed keeps its own answer', () => {
  expect(rulesOf('clone3')).toEqual([{ names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 }]);
});
