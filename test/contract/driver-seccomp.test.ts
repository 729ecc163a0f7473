/** System calls made from inside a real jail by a small C program: what the filter's unit test promises, the kernel keeps. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createJailDriver } from '../../src/drivers/jail/jail-driver.ts';
import { seccompPolicy } from '../../src/drivers/seccomp/policy.ts';
import { type SyscallName, syscallNumbers } from '../../src/drivers/seccomp/syscall-numbers.ts';
import { reasonToSkipJail } from './driver-jail-world.ts';
import { DriverWorld, type Probe } from './driver-world.ts';

const EPERM = 1;
const ENOSYS = 38;
const EFAULT = 14;
const source = join(import.meta.dirname, '../fixtures/drivers/seccomp-probe.c');
const column = process.arch === 'x64' ? 0 : 1;

function findSkipReason(): string | null {
  if (spawnSync('gcc', ['--version']).status === 0) return null;
  console.warn('tests of system calls in the jail are skipped: there is no gcc to build the probe with');
  return 'no gcc';
}

const skipped = (await reasonToSkipJail()) ?? findSkipReason();

describe.skipIf(skipped !== null)('system calls in the jail', () => {
  let world: DriverWorld;
  let probe: Probe;
  beforeAll(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'berth-probe-'));
    const program = join(folder, 'probe');
    const built = spawnSync('gcc', ['-O1', '-o', program, source], { encoding: 'utf8' });
    expect(built.stderr).toBe('');
    world = new DriverWorld(createJailDriver);
    probe = await world.start();
    const code = readFileSync(program).toString('base64');
    rmSync(folder, { recursive: true });
    await probe.run(
      `require('fs').writeFileSync('/tmp/probe', Buffer.from('${code}', 'base64'), { mode: 0o755 })`,
    );
  });
  afterAll(async () => {
    await world.close();
  });

  async function errnos(orders: readonly string[]): Promise<number[]> {
    const output = await probe.run<{ stdout: string; signal: string | null }>(`
      const { stdout, signal } = require('child_process').spawnSync('/tmp/probe', ${JSON.stringify(orders)}, { encoding: 'utf8' });
      return { stdout, signal };`);
    expect(output.signal).toBeNull();
    return output.stdout.trim().split('\n').map(Number);
  }

  const native = (name: SyscallName, ...args: number[]): string =>
    `native:${syscallNumbers[name][column]}:${args.join()}`;

  test('the probe itself works: what is allowed is not refused', async () => {
    expect(await errnos([native('getpid'), native('getppid'), native('pipe2', 0)])).toEqual([0, 0, EFAULT]);
  });

  const refused = seccompPolicy.refused
    .flatMap((group) => group.syscalls)
    .filter((name) => syscallNumbers[name][column] !== null);

  test.each(refused)('%s is refused', async (name) => {
    expect(await errnos([native(name)])).toEqual([EPERM]);
  });

  test('clone makes no namespace, clone3 does not exist', async () => {
    const flags = [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
    expect(await errnos(flags.map((flag) => native('clone', flag)))).toEqual(flags.map(() => EPERM));
    expect(await errnos([native('clone3')])).toEqual([ENOSYS]);
  });

  test('raw, packet, netlink, vsock, alg, ping and MPTCP sockets are refused', async () => {
    const sockets = [
      [2, 3, 1],
      [17, 3, 0],
      [16, 3, 0],
      [40, 1, 0],
      [38, 5, 0],
      [2, 2, 1],
      [2, 1, 262],
    ];
    expect(await errnos(sockets.map((args) => native('socket', ...args)))).toEqual(sockets.map(() => EPERM));
    expect(await errnos([native('socket', 2, 1, 6), native('socket', 1, 1, 0)])).toEqual([0, 0]);
  });

  test('terminal injection, other personalities and further filters are refused', async () => {
    const calls = [
      native('ioctl', 0, 0x5412),
      native('ioctl', 0, 0x541c),
      native('personality', 0x4_0000),
      native('prctl', 22, 2),
    ];
    expect(await errnos(calls)).toEqual(calls.map(() => EPERM));
  });

  test.runIf(process.arch === 'x64')('32-bit and x32 calls are refused', async () => {
    expect(await errnos(['i386:20:', 'x32:39:'])).toEqual([EPERM, EPERM]);
  });

  test('a call that the policy does not know does not exist', async () => {
    expect(await errnos(['native:470:', 'native:1000:'])).toEqual([ENOSYS, ENOSYS]);
  });
});
