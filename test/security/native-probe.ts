/**
 * System calls as a tenant would make them who brings a program of its own: `test/fixtures/drivers/seccomp-probe.c`, built
 * on this machine, written to /tmp of the sandbox by the function and started there.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { type SyscallName, syscallNumbers } from '../../src/drivers/seccomp/syscall-numbers.ts';
import type { Arena } from './arena.ts';

const source = join(import.meta.dirname, '../fixtures/drivers/seccomp-probe.c');
const column = process.arch === 'x64' ? 0 : 1;
const names = new Map([...getSystemErrorMap()].map(([number, [name]]) => [-number, name]));

/** @returns the program; null where there is no compiler, and says so */
export function buildProbe(): Buffer | null {
  const folder = mkdtempSync(join(tmpdir(), 'berth-probe-'));
  try {
    const program = join(folder, 'probe');
    const { status, error, stderr } = spawnSync('gcc', ['-O1', '-o', program, source], { encoding: 'utf8' });
    if (status === 0) return readFileSync(program);
    console.warn(`attacks by system calls are skipped: gcc builds no probe (${error?.message ?? stderr})`);
    return null;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** One call of this architecture: `call('socket', 2, 3, 1)` */
export function call(name: SyscallName, ...args: number[]): string {
  return `native:${syscallNumbers[name][column]}:${args.join()}`;
}

/** Makes the calls in a fresh sandbox. @returns what each was answered: an errno's name, or `done` */
export async function answers(arena: Arena, probe: Buffer, orders: readonly string[]): Promise<string[]> {
  const { stdout, signal } = await arena.result<{ stdout: string; signal: string | null }>(`
    const probe = Buffer.from('${probe.toString('base64')}', 'base64');
    require('fs').writeFileSync('/tmp/probe', probe, { mode: 0o755 });
    const { spawnSync } = require('child_process');
    module.exports = (cb) => {
      const { stdout, signal } = spawnSync('/tmp/probe', ${JSON.stringify(orders)}, { encoding: 'utf8' });
      cb(null, { stdout, signal });
    };`);
  if (signal !== null) throw new Error(`the probe was killed by ${signal}`);
  return stdout
    .trim()
    .split('\n')
    .map((errno) => (errno === '0' ? 'done' : (names.get(Number(errno)) ?? errno)));
}
